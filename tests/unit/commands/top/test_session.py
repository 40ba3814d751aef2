# SPDX-License-Identifier: Apache-2.0
"""A session compares pages, pauses, filters, and survives a daemon that goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from probed.commands.top.layout import Terminal
from probed.commands.top.poller import Poller
from probed.commands.top.readings import PageParser, Reading
from probed.commands.top.session import Session
from probed.errors import HostError
from support.running_daemon import until
from support.top.pages import START, page, series

EXECS = {unit: series("probed_process_execs_total", unit=unit, comm="git", parent="sh") for unit in ("a", "b")}


def readings(*counts: float) -> Iterator[Reading]:
    parser = PageParser()
    for second, count in enumerate(counts):
        values = {EXECS["a"]: count, EXECS["b"]: 2 * count}
        yield parser.parse(page(values), START + second, float(second))


def session(*counts: float) -> Session:
    def refuse() -> Reading:
        raise HostError("no daemon")

    made = Session(Poller(refuse, 3600), "127.0.0.1:9788", 0.5, "")
    for reading in readings(*counts):
        made.take(reading)
    return made


def lines(found: Session) -> list[str]:
    return ["".join(span.text for span in line) for line in found.lines(Terminal(80, 24))]


def units(found: Session) -> dict[str, float]:
    """Return the starts a second of the units on the screen."""
    rows = (line[:39].split() for line in lines(found)[4:9])
    return {row[0]: float(row[1]) for row in rows if row}


def test_the_last_two_pages_are_compared() -> None:
    assert units(session(0.0, 5.0, 12.0)) == {"a": 7.0, "b": 14.0}


def test_a_pause_keeps_the_figures_and_obeys_the_filter() -> None:
    paused = session(0.0, 5.0)
    paused.press("p")
    paused.take([*readings(0.0, 0.0, 12.0)][2])
    assert units(paused) == {"a": 5.0, "b": 10.0}
    for key in ("/", "a", "\n"):
        paused.press(key)
    assert units(paused) == {"a": 5.0}


def test_the_end_of_a_pause_shows_the_present() -> None:
    paused = session(0.0, 5.0)
    paused.press("p")
    for reading in [*readings(0.0, 5.0, 12.0)][2:]:
        paused.take(reading)
    paused.press("p")
    assert units(paused) == {"a": 7.0, "b": 14.0}


def test_a_daemon_that_goes_away_and_comes_back_with_new_counters_shows_no_negative_rate() -> None:
    found = session(0.0, 500.0)
    until(found.poll, "the fault is taken")
    assert lines(found)[2].endswith("no daemon")
    assert units(found) == {"a": 500.0, "b": 1000.0}
    found.take(PageParser().parse(page({EXECS["a"]: 30.0}, START + 3.0), START + 4.0, 4.0))
    assert "no daemon" not in "".join(lines(found))
    assert units(found) == {"a": 10.0}


def test_a_slow_daemon_does_not_hold_up_the_session() -> None:
    answer = threading.Event()

    def slow() -> Reading:
        answer.wait()
        return next(readings(1.0))

    poller = Poller(slow, 0.0)
    assert [poller.poll() for _ in range(100)] == [None] * 100
    answer.set()
    until(poller.poll, "the page of the slow daemon")


def test_an_error_that_no_one_foresaw_reaches_the_main_thread() -> None:
    def broken() -> Reading:
        raise ZeroDivisionError

    poller = Poller(broken, 0.0)
    with pytest.raises(ZeroDivisionError):
        until(poller.poll, "the error")
