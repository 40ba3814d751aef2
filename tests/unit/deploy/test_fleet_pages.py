# SPDX-License-Identifier: Apache-2.0
"""The fleet's simulation continues recorded pages as the host would."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fleet.pages import APART, KINDS, Recording
from support.running_daemon import Page

FIRST = """\
# TYPE a counter
a_total{x="1 2"} 7.0
a_total{x="gone"} 3.0
# TYPE b gauge
b 4.0
# TYPE c counter
c_total 1.5
"""

SECOND = """\
# TYPE a counter
a_total{x="1 2"} 67.0
a_total{x="new"} 30.0
# TYPE b gauge
b 3.0
# TYPE c counter
c_total 7.5
"""


def at(seconds: float) -> Page:
    return Page.parse(Recording(FIRST, SECOND).at(seconds).decode())


def test_a_counter_rises_at_the_recorded_rate() -> None:
    assert [at(seconds).value("a_total", x="1 2") for seconds in (0, APART, 10 * APART)] == [7, 67, 607]


def test_integer_counters_stay_integers() -> None:
    assert at(1.7).value("a_total", x="1 2") == 8
    assert at(1.5).value("c_total") == pytest.approx(1.65)


def test_a_series_that_came_between_the_scrapes_began_at_0() -> None:
    assert at(0).value("a_total", x="new") == 0
    assert at(APART).value("a_total", x="new") == 30


def test_a_series_that_went_is_not_there() -> None:
    assert at(0).keys() == at(APART).keys() == Page.parse(SECOND).keys()


def test_a_gauge_stays() -> None:
    assert {at(seconds).value("b") for seconds in (0, APART, 2 * APART)} == {3}


@pytest.mark.parametrize("kind", KINDS)
def test_no_counter_of_a_recording_ever_falls(kind: str) -> None:
    recording = Recording.load(kind)
    pages = [Page.parse(recording.at(seconds).decode()) for seconds in (0, 15, 30, 3600)]
    for before, after in pairwise(pages):
        assert before.keys() == after.keys()
        assert [key for key, value in after.items() if value < before[key]] == []
    assert sum(pages[-1].values()) > sum(pages[0].values())


@pytest.mark.parametrize("kind", KINDS)
def test_buckets_of_a_recording_stay_cumulative(kind: str) -> None:
    page = Page.parse(Recording.load(kind).at(1234.5).decode())
    buckets: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
    for (name, labels), value in page.items():
        if name.endswith("_bucket"):
            bound = float(dict(labels)["le"])
            buckets.setdefault(frozenset(each for each in labels if each[0] != "le"), []).append((bound, value))
    assert buckets
    for found in buckets.values():
        values = [value for _, value in sorted(found)]
        assert values == sorted(values)
