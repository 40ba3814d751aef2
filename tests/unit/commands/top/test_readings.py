# SPDX-License-Identifier: Apache-2.0
"""Increases of counters between two pages: new series, restarts, and pages without start timestamps."""

from __future__ import annotations

import pytest

from probed.client.metrics_page import PageSeries
from probed.commands.top.readings import PageParser, Reading, increase
from probed.errors import HostError
from support.top.pages import START, lives, page, series

MAKE = series("probed_process_execs_total", comm="make", parent="sh", unit="a.service")
GIT = series("probed_process_execs_total", comm="git", parent="sh", unit="a.service")


def read(counts: dict[str, float], seconds: float, start: float | None = START) -> Reading:
    return PageParser().parse(page(counts, start), START + seconds, seconds)


def increases(before: Reading, after: Reading) -> dict[str, float]:
    """Return the increase of each series that is a counter, by comm."""
    return {
        dict(each.labels)["comm"]: increase(each, before, after)
        for each in after.values
        if each.name == "probed_process_execs_total"
    }


def test_an_increase_is_the_difference() -> None:
    assert increases(read({MAKE: 7.0}, 10), read({MAKE: 104.0}, 11)) == {"make": 97.0}


def test_a_new_series_of_a_known_metric_counts_from_0() -> None:
    assert increases(read({MAKE: 7.0}, 10), read({MAKE: 7.0, GIT: 11.0}, 11)) == {"make": 0.0, "git": 11.0}


def test_the_first_series_of_a_metric_counts_if_it_began_after_the_last_page() -> None:
    assert increases(read({}, 10), read({MAKE: 7.0}, 11, START + 10.5)) == {"make": 7.0}


def test_a_metric_that_one_page_lacked_begins_without_an_increase() -> None:
    """Otherwise a probe that fails to collect once would show all events since its start as one interval's."""
    assert increases(read({}, 10), read({MAKE: 7.0}, 11)) == {"make": 0.0}


def test_a_counter_that_begins_anew_counts_from_0() -> None:
    assert increases(read({MAKE: 7.0}, 10), read({MAKE: 97.0}, 11, START + 10.5)) == {"make": 97.0}
    assert increases(read({MAKE: 97.0}, 10), read({MAKE: 7.0}, 11, START + 10.5)) == {"make": 7.0}


def test_without_start_timestamps_a_lower_value_begins_anew() -> None:
    assert increases(read({MAKE: 97.0}, 10, None), read({MAKE: 7.0}, 11, None)) == {"make": 7.0}
    assert increases(read({MAKE: 7.0}, 10, None), read({MAKE: 97.0}, 11, None)) == {"make": 90.0}


def test_a_bucket_has_the_start_of_its_histogram() -> None:
    bucket = PageSeries("probed_process_lifetime_seconds_bucket", (("comm", "git"), ("le", "1.0")))
    before, after = (read(lives(count, count, comm="git"), 10, START + count) for count in (7.0, 97.0))
    assert increase(bucket, before, after) == 97.0


def test_of_the_buckets_only_the_longest_short_life_is_kept() -> None:
    bounds = {dict(each.labels).get("le") for each in read(lives(7.0, 3.0, comm="git"), 10).values}
    assert bounds == {None, "1.0"}


def test_a_parser_reads_each_page_anew() -> None:
    parser = PageParser()
    first = parser.parse(page({MAKE: 7.0, GIT: 3.0}), START, 0.0)
    second = parser.parse(page({MAKE: 9.0}), START, 1.0)
    assert [sorted(each.values.values()) for each in (first, second)] == [[1.0, 3.0, 7.0], [1.0, 9.0]]


def test_a_bucket_without_a_number_is_an_error() -> None:
    with pytest.raises(HostError, match="no number as its bound, but 'x'"):
        PageParser().parse('a_bucket{le="x"} 1', START, 0.0)


def test_a_page_of_another_exporter_is_an_error() -> None:
    with pytest.raises(HostError, match=r"no probed_build_info.*--web\.listen-address"):
        PageParser().parse("up 1\n", START, 0.0)
