# SPDX-License-Identifier: Apache-2.0
"""The screen for terminals of any size."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.commands.top.activity import Activity, activity
from probed.commands.top.layout import PollStatus, Terminal, render
from probed.commands.top.readings import PageParser
from probed.commands.top.view import View, press
from probed.text_width import width_of
from support.running_daemon import ROOT
from support.top.draw_screens import SIZES, draw, screen
from support.top.pages import START, page, series
from support.top.storm import storm

STATUS = PollStatus("127.0.0.1:9788", 0.5, "03:11:52")


def compare(before: str, after: str) -> Activity:
    parser = PageParser()
    return activity(parser.parse(before, START, 10.0), parser.parse(after, START + 1, 11.0))


@cache
def of_storm() -> Activity:
    return compare(storm(100.0), storm(101.0))


def texts(width: int, height: int, *keys: str, found: Activity | None = None, status: PollStatus = STATUS) -> list[str]:
    view = View()
    for key in keys:
        view = press(view, key)
    lines = render(found or of_storm(), view, status, Terminal(width, height))
    return ["".join(span.text for span in line) for line in lines]


def test_80_columns_have_all_tables_two_in_a_row() -> None:
    lines = texts(80, 24)
    assert [line.split() for line in lines if "STARTS/S" in line or "CALLS/S" in line][:1] == [
        ["UNIT", "STARTS/S", "<1", "S", "FAILED/S", "PROGRAM", "STARTS/S", "<1", "S", "FAILED/S"]
    ]
    assert lines[4] == "media.service        480 100 %     4359  ffprobe              431 100 %     4310"
    assert "ERRNO        CALL PROGRAM      FAILED/S" in "\n".join(lines)
    assert "SYSTEM CALL    CALLS/S FAILED/S MOST     PROBE       REASON      LOST/S     LOST" in lines
    assert len(lines) == 24


def test_200_columns_have_all_columns_three_in_a_row() -> None:
    lines = texts(200, 60)
    assert lines[3].split() == [
        "UNIT", "STARTS/S", "<1", "S", "OPENS/S", "FAILED/S", "EXECS",
        "PROGRAM", "STARTS/S", "<1", "S", "FAILED/S", "EXECS",
        "PARENT", "STARTS", "MOST", "STARTS/S", "EXECS",
    ]  # fmt: skip
    assert len(lines) == 60


def test_the_head_has_sums_and_losses() -> None:
    assert texts(200, 60)[:3] == [
        "probed top  127.0.0.1:9788  every 0.5 s  03:11:52  ",
        "562 starts/s (93 % under 1 s)  19852 opens/s  6452 failed/s  320755 syscalls/s",
        "nothing lost now; earlier losses in the last table",
    ]


def test_rows_without_activity_are_faint() -> None:
    lines = render(of_storm(), View(), STATUS, Terminal(200, 60))
    styles = {span.text.split()[0]: span.style for line in lines[4:12] for span in line if span.text.strip()}
    assert (styles["media.service"], styles["nginx"], styles["init.scope"]) == ("plain", "plain", "plain")
    quiet = render(compare(storm(100.0), storm(100.0)), View(), STATUS, Terminal(80, 24))
    assert {span.style for line in quiet[4:9] for span in line if span.text.strip()} == {"faint"}


def test_a_small_terminal_has_the_chosen_table_alone() -> None:
    assert [line.split()[0] for line in texts(60, 8, "2")[3:-1]] == ["PROGRAM", "ffprobe", "sh", "gcc"]


def test_a_table_alone_scrolls() -> None:
    lines = texts(80, 24, "2", "\n", "j", "j")
    assert [line.split()[0] for line in lines[3:6]] == ["PROGRAM", "gcc", "cc1"]
    assert "row 3 of 8" in lines[-1]


def test_a_filter_and_a_pause_are_named() -> None:
    assert texts(80, 24, "/", *"media", "\n", "p")[0].endswith("units *media*  PAUSED")


def test_the_prompt_stands_in_the_last_line() -> None:
    assert texts(80, 24, "/", *"me")[-1] == "units that match: me_"


def test_the_order_stands_in_the_last_line() -> None:
    assert texts(80, 24, "r")[-1].startswith("by STARTS/S reversed (s, r)")


def test_the_help_names_the_keys() -> None:
    assert "q                        quit" in texts(80, 24, "h")


def test_a_daemon_that_is_gone_is_told_and_the_figures_stay() -> None:
    lines = texts(80, 24, status=PollStatus("127.0.0.1:9788", 0.5, "03:11:52", "no daemon answers\x1b[2J", 7.2))
    assert lines[2] == "no page for 7 s: no daemon answers\\x1b[2J"
    assert lines[4].startswith("media.service        480")


def test_present_losses_and_probes_that_are_down_are_told() -> None:
    lost = {series("probed_events_lost_total", probe="process", reason="ring_full"): 0.0}
    down = {series("probed_probe_up", probe="open_failures"): 0.0}
    found = compare(page(lost), page(dict.fromkeys(lost, 12.0) | down))
    assert texts(80, 24, found=found)[2] == "LOST 12.0 events a second  probes down: open_failures"


def test_before_the_second_page_there_are_no_rates() -> None:
    lines = render(None, View(), STATUS, Terminal(80, 24))
    assert lines[3][0].text == "waits for a second page, to compare with the first"


def test_hostile_names_reach_no_terminal_as_they_are() -> None:
    name = "\x1b]0;title\x07\n\u202e"
    hostile = {series("probed_process_execs_total", unit=name, comm=name, parent=name): 5.0}
    for size in SIZES:
        for line in texts(*size, found=compare(page({}), page(hostile, START + 0.5))):
            assert line.isprintable()
    assert "\\x1b]0;titl" in "".join(texts(200, 60, found=compare(page({}), page(hostile, START + 0.5))))


@pytest.mark.parametrize("series_count", [1_000])
def test_1000_series_of_wide_names_fit(series_count: int) -> None:
    names = {series("probed_process_execs_total", unit=f"試験-{n}.service", comm="試" * 5, parent="sh"): float(n)
             for n in range(series_count)}  # fmt: skip
    found = compare(page({}), page(names, START + 0.5))
    for width, height in SIZES:
        lines = texts(width, height, found=found)
        assert {width_of(line) for line in lines[3:-1]} <= {width, width - 1}
        assert "999" in "".join(lines)


@given(st.integers(0, 250), st.integers(0, 80), st.sampled_from(["1", "3", "6", "h", "\n"]))
def test_no_line_is_wider_than_the_terminal(width: int, height: int, key: str) -> None:
    lines = texts(width, height, key)
    assert len(lines) == height
    assert max(map(width_of, lines), default=0) <= width


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_pictures_of_the_readme_are_those_of_this_program(width: int, height: int) -> None:
    drawn = (ROOT / f"docs/pictures/top-{width}x{height}.svg").read_text(encoding="utf-8")
    assert drawn == draw(screen(width, height), width, height), "run: make pictures"
