# SPDX-License-Identifier: Apache-2.0
"""Keys of `probed top`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.commands.top.tables import TABLES
from probed.commands.top.view import Order, View, anywhere, bounded, press


def pressed(*keys: str, view: View | None = None) -> View:
    view = view or View()
    for key in keys:
        view = press(view, key)
    return view


@pytest.mark.parametrize("key", ["q", "Q", "\x03"])
def test_a_key_ends_the_command(key: str) -> None:
    assert pressed(key).ended


def test_every_table_is_sorted_by_its_first_number_at_first() -> None:
    assert [table.columns[order.column].title for table, order in zip(TABLES, View().orders, strict=True)] == [
        "STARTS/S", "STARTS/S", "STARTS/S", "FAILED/S", "CALLS/S", "LOST/S",
    ]  # fmt: skip


def test_s_goes_through_the_columns_of_the_chosen_table_only() -> None:
    columns = len(TABLES[1].columns)
    chosen = [pressed("2", *["s"] * n).orders[1].column for n in range(columns + 1)]
    assert chosen == [1, 2, 3, 4, 0, 1]
    assert pressed("2", "s").orders[0] == View().orders[0]


def test_r_reverses_and_another_column_begins_with_the_highest() -> None:
    assert pressed("r").order == Order(1, reverse=True)
    assert pressed("r", "r").order == Order(1)
    assert pressed("r", "s").order == Order(2)


def test_tables_are_chosen_by_number_and_in_turn() -> None:
    keys = ["1", "6", "\t", "KEY_LEFT", "KEY_BTAB", "KEY_RIGHT"]
    assert [pressed(*keys[: n + 1]).table for n in range(len(keys))] == [0, 5, 0, 5, 4, 5]


def test_a_number_without_a_table_changes_nothing() -> None:
    assert [pressed(key) for key in "0789"] == [View()] * 4


def test_a_typed_unit_matches_anywhere() -> None:
    view = pressed("/", *"nginy", "KEY_BACKSPACE", "x", "\n")
    assert (view.unit, view.prompt) == ("*nginx*", None)


def test_keys_of_a_prompt_have_no_other_meaning() -> None:
    assert pressed("/", *"qprs").prompt == "qprs"


@pytest.mark.parametrize("key", ["\x1b", "\x03"])
def test_a_prompt_that_is_given_up_leaves_the_filter(key: str) -> None:
    assert pressed("/", "a", key, view=View(unit="b*")) == View(unit="b*")


def test_an_empty_text_shows_all_units_again() -> None:
    assert pressed("/", "a", "\x15", "\r", view=View(unit="b*")).unit == ""


@pytest.mark.parametrize(
    ("typed", "glob"), [("nginx", "*nginx*"), ("user@*", "user@*"), ("a?", "a?"), ("[ab]", "[ab]"), ("  ", "")]
)
def test_wildcards_are_kept(typed: str, glob: str) -> None:
    assert anywhere(typed) == glob


def test_pause_help_and_the_single_table_go_on_and_off() -> None:
    assert [(v.paused, v.help, v.alone) for v in (pressed("p"), pressed("?"), pressed("\n"))] == [
        (True, False, False), (False, True, False), (False, False, True),
    ]  # fmt: skip
    assert pressed("p", " ", "h", "\x1b", "z", "KEY_ENTER") == View()


def test_scrolling_stays_within_the_rows() -> None:
    assert bounded(pressed(*["KEY_NPAGE"] * 3), 7).skipped == 6
    assert bounded(pressed("KEY_DOWN", "j", "KEY_UP", "k", "KEY_PPAGE"), 7).skipped == 0
    assert bounded(pressed("j"), 0).skipped == 0


@given(st.lists(st.sampled_from(["q", "s", "r", "/", "p", "\t", "z", "h", "\n", "\x1b", "KEY_UP", "7", "é", "KEY_F5"])))
def test_no_keys_break_a_view(keys: list[str]) -> None:
    view = pressed(*keys)
    assert 0 <= view.table < len(TABLES)
    assert view.order.column < len(TABLES[view.table].columns)
