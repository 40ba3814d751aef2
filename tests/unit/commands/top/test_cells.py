# SPDX-License-Identifier: Apache-2.0
"""Cells of the tables: numbers, wide characters and hostile texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.commands.top.cells import fit, one_line, place, show, show_number
from probed.commands.top.tables import Kind, RateColumn
from probed.text_width import width_of

TEXT = RateColumn("unit", "UNIT", "text")


@pytest.mark.parametrize(
    ("cell", "kind", "shown"),
    [
        (0.0, "rate", "0"),
        (0.5, "rate", "0.5"),
        (99.94, "rate", "99.9"),
        (480.4, "rate", "480"),
        (188_213.0, "rate", "188213"),
        (1_882_130.0, "rate", "1.88M"),
        (3.2e9, "count", "3.20G"),
        (97.0, "count", "97"),
        (0.998, "share", "100 %"),
        (0.0, "share", "0 %"),
        (None, "share", "-"),
    ],
)
def test_a_number_is_short(cell: float | None, kind: Kind, shown: str) -> None:
    assert show_number(cell, RateColumn("", "", kind)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\tand a tab", "two\\nlines\\tand a tab"),
        ("caf\udce9 \u202e", "caf\\xe9 \\u202e"),
    ],
)
def test_a_hostile_text_is_one_line_of_printable_characters(text: str, shown: str) -> None:
    assert show(text, TEXT) == shown


def test_a_terminal_without_a_character_gets_its_escape() -> None:
    assert one_line("試.service", "ascii") == "\\u8a66.service"


@pytest.mark.parametrize(
    ("text", "width", "fitted"),
    [("abc", 5, "abc  "), ("abcdef", 4, "abc~"), ("試験室", 4, "試~ "), ("試験室", 5, "試験~"), ("abc", 0, "")],
)
def test_a_text_is_cut_or_filled(text: str, width: int, fitted: str) -> None:
    assert fit(text, width) == fitted


@given(st.text(), st.integers(0, 40))
def test_a_cell_has_exactly_its_width(text: str, width: int) -> None:
    assert width_of(place(show(text, TEXT), TEXT, width)) == width


def test_numbers_stand_to_the_right() -> None:
    assert place("97", RateColumn("", ""), 5) == "   97"
