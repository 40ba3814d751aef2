# SPDX-License-Identifier: Apache-2.0
"""When rows are short, heavy label sets keep theirs, however many others come once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from numpy.typing import NDArray

from probed.exporter.series.budget import WINDOW_SECONDS
from probed.exporter.series.table import SeriesTable, SeriesUsage
from support.unit.clock import Clock
from support.unit.series_tables import events, metric, observed, series_of_each, shown, table

SERVICES = [f"service{number}" for number in range(10)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def strange(first: int, count: int) -> list[str]:
    """Return unique names."""
    return [f"strange{number}" for number in range(first, first + count)]


def next_window(series: SeriesTable, clock: Clock) -> dict[str, int]:
    """Return the second page of the next window: the first page shows the last values of leaving rows."""
    clock.now += WINDOW_SECONDS
    series.family()
    return shown(series.family())


def test_past_the_budget_all_others_are_one_series(clock: Clock) -> None:
    series = table(metric(budget=3), clock)
    series.add_events(events("aaabbcddd"))
    assert shown(series.family()) == {"a": 3, "d": 3, "other": 3}
    assert series.usage() == SeriesUsage("probed_x_total", 3, 3, 3)


def test_within_the_budget_there_is_no_other(clock: Clock) -> None:
    series = table(metric(budget=3), clock)
    series.add_events(events("aabb"))
    assert shown(series.family()) == {"a": 2, "b": 2}
    assert series.usage() == SeriesUsage("probed_x_total", 2, 3, 0)


def test_a_label_set_of_a_histogram_is_as_many_series_as_it_has_buckets_and_three(clock: Clock) -> None:
    histogram = metric("histogram", budget=5)
    assert len(histogram.bounds) == 2
    series = table(histogram, clock)
    series.add_events(events(["a", "b"]))
    assert series.usage() == SeriesUsage("probed_x_total", 2 * 5, 5 * 5, 0)


def test_a_budget_of_one_is_other_alone(clock: Clock) -> None:
    series = table(metric(budget=1), clock)
    series.add_events(events("aab"))
    assert next_window(series, clock) == {"other": 3}


def test_a_program_called_other_is_not_the_overflow(clock: Clock) -> None:
    series = table(metric(budget=3), clock)
    series.add_events(events(["other", "other", rb"\other", rb"\other", "a"]))
    assert shown(series.family()) == {r"\other": 2, r"\\\other": 2, "other": 1}


def batches(names: list[str], size: int) -> Iterator[NDArray[Any]]:
    for at in range(0, len(names), size):
        yield events(names[at : at + size])


@pytest.mark.parametrize("size", [13, 97, 8192, 1 << 20])
def test_a_storm_of_unique_names_replaces_no_active_row(clock: Clock, size: int) -> None:
    series = table(metric(budget=len(SERVICES) + 1), clock)
    series.add_events(events(SERVICES))
    for window in range(3):
        names = strange(window * 9990, 9990)
        for number, service in enumerate(SERVICES):
            names.insert(number * 999, service)
        for batch in batches(names, size):
            series.add_events(batch)
        assert next_window(series, clock) == {
            **dict.fromkeys(SERVICES, 2 + window),
            "other": (window + 1) * 9990,
        }
    assert series.usage().overflowed == 3 * 9990


def test_a_storm_of_unique_names_does_not_even_take_the_row_of_a_silent_service(clock: Clock) -> None:
    series = table(metric(budget=len(SERVICES) + 1), clock)
    series.add_events(events(SERVICES))
    for window in range(5):
        series.add_events(events(strange(window * 1000, 1000) * 2))
        assert next_window(series, clock).keys() == {*SERVICES, "other"}


@pytest.mark.parametrize("size", [97, 8192])
def test_services_that_start_amid_a_storm_have_rows_after_a_window(clock: Clock, size: int) -> None:
    series = table(metric(budget=len(SERVICES) + 1), clock)
    series.add_events(events(strange(0, 1000)))
    names = [name for turn in range(100) for name in [*SERVICES, *strange(1000 + turn * 100, 100)]]
    for batch in batches(names, size):
        series.add_events(batch)
    assert next_window(series, clock) == {**dict.fromkeys(SERVICES, 0), "other": 990 + len(names)}
    series.add_events(events(SERVICES))
    assert shown(series.family()) == {**dict.fromkeys(SERVICES, 1), "other": 990 + len(names)}
    assert series.expired == 10


def test_the_heavier_takes_the_row_of_the_lightest_whose_counts_leave_the_page(clock: Clock) -> None:
    series = table(metric("histogram", budget=3), clock)
    series.add_events(events([("big", 1), ("big", 2), ("big", 3), ("big", 4000), ("light", 5000), ("light", 1)]))
    series.add_events(events([("new", 7)] * 5))
    assert observed(series.family()) == {
        "big": ([1, 2, 1], 4006 * 1e-9),
        "light": ([1, 0, 1], 5001 * 1e-9),
        "other": ([0, 5, 0], 35 * 1e-9),
    }
    clock.now += WINDOW_SECONDS
    assert observed(series.family()) == {
        "big": ([1, 2, 1], 4006 * 1e-9),
        "new": ([0, 0, 0], 0.0),
        "other": ([0, 5, 0], 35 * 1e-9),
    }
    series.add_events(events([("new", 8), ("light", 9)]))
    assert observed(series.family()) == {
        "big": ([1, 2, 1], 4006 * 1e-9),
        "new": ([0, 1, 0], 8 * 1e-9),
        "other": ([0, 6, 0], 44 * 1e-9),
    }
    assert (series.usage().overflowed, series.expired) == (6, 2)


def test_rows_change_hands_once_a_window_at_most(clock: Clock) -> None:
    series = table(metric(budget=2), clock)
    series.add_events(events("a" + "b" * 50))
    assert shown(series.family()) == {"b": 50, "other": 1}
    series.add_events(events("a" * 500))
    clock.now += WINDOW_SECONDS - 1
    assert shown(series.family()) == {"b": 50, "other": 501}
    clock.now += 1
    assert shown(series.family()) == {"a": 0, "other": 501}
    assert series.expired == 50


def test_equals_do_not_take_rows_from_each_other(clock: Clock) -> None:
    series = table(metric(budget=4), clock)
    series.add_events(events("abc"))
    for turn in range(10):
        series.add_events(events("abcdef" * (10 + 9 * (turn % 2))))
        assert next_window(series, clock).keys() == {"a", "b", "c", "other"}


def test_who_has_just_won_a_row_keeps_it_by_what_it_won_with(clock: Clock) -> None:
    series = table(metric(budget=2), clock)
    series.add_events(events("a"))
    series.add_events(events("b" * 20))
    assert next_window(series, clock) == {"b": 0, "other": 20}
    series.add_events(events("a" * 20))
    assert next_window(series, clock) == {"b": 0, "other": 40}
    series.add_events(events("a" * 20))
    assert next_window(series, clock) == {"a": 0, "other": 60}


def test_a_service_that_pauses_is_remembered_by_half_each_window(clock: Clock) -> None:
    series = table(metric(budget=2), clock)
    series.add_events(events("a" * 160))
    kept = 0
    while "a" in next_window(series, clock):
        series.add_events(events("b" * 21))
        kept += 1
    # 160 against none, then 80, 40 and 20 against 21, but not 10, of which twice as much is less.
    assert kept == 4


def test_a_series_that_is_idle_for_too_long_leaves_with_its_counts(clock: Clock) -> None:
    series = table(metric(idle=100.0), clock)
    series.add_events(events("aab"))
    clock.now += 100
    assert shown(series.family()) == {"a": 2, "b": 1}
    series.add_events(events("b"))
    clock.now += 1
    assert shown(series.family()) == {"b": 2}
    assert series.expired == 2
    series.add_events(events("a"))
    assert shown(series.family()) == {"a": 1, "b": 2}


def test_who_was_in_the_rest_and_comes_again_has_a_row_that_became_free(clock: Clock) -> None:
    series = table(metric(budget=3, idle=100.0), clock)
    series.add_events(events("aabbc"))
    series.family()
    clock.now += 101
    series.add_events(events("b"))
    assert shown(series.family()) == {"b": 3, "other": 1}
    series.add_events(events("bc"))
    assert shown(series.family()) == {"b": 4, "c": 1, "other": 1}
    assert (series.expired, series.usage().overflowed) == (2, 1)


def test_an_old_key_never_leads_to_a_row_that_has_another_owner(clock: Clock) -> None:
    series = table(metric(budget=2, idle=100.0), clock)
    series.add_events(events("a"))
    series.family()
    clock.now += 101
    series.family()
    series.add_events(events("bb"))
    series.add_events(events("a"))
    assert shown(series.family()) == {"b": 2, "other": 1}


def test_memory_stays_what_it_was_after_the_first_storm(clock: Clock) -> None:
    series = table(metric(budget=100), clock)

    def storm(number: int) -> int:
        for batch in batches(strange(number * 20_011, 20_011), 2048):
            series.add_events(batch)
        next_window(series, clock)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first, second = storm(0), storm(1)
    finally:
        tracemalloc.stop()
    assert first < 3 << 20
    assert second - first < 64 << 10


@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_a_hundred_thousand_names_add_up(kind: str, clock: Clock) -> None:
    series = table(metric(kind), clock)
    for batch in batches(strange(0, 100_003), 8192):
        series.add_events(batch)
    family = series.family()
    assert len(family.labels) == 1000
    assert int((family.buckets if kind == "histogram" else family.values).sum()) == 100_003
    assert series.usage() == SeriesUsage(
        "probed_x_total", 1000 * series_of_each(kind), 1000 * series_of_each(kind), 100_003 - 999
    )
