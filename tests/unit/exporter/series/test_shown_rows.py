# SPDX-License-Identifier: Apache-2.0
"""A scraper sees every series at 0 first, whichever scrapers there are, and no series ever falls."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.http_server.messages import Peer
from probed.exporter.series.budget import WINDOW_SECONDS
from probed.exporter.series.scrapers import UNATTENDED_SECONDS, Scrapers
from probed.exporter.series.table import SeriesTable
from support.unit.clock import Clock
from support.unit.played_pages import Scraper, scraper
from support.unit.series_tables import events, metric, observed, shown, state, table, table_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_unit_that_lived_between_two_pages_increases_by_all_that_it_did(clock: Clock) -> None:
    series = table(metric(), clock)
    prometheus = scraper(clock, series)
    prometheus.scrape()
    series.add_events(events(["short"] * 101))
    assert prometheus.scrape() == {"short": 0}
    assert prometheus.scrape() == {"short": 101}
    assert prometheus.increase == {"short": 101}


def test_a_held_histogram_shows_no_bucket_and_no_sum(clock: Clock) -> None:
    series = table(metric("histogram"), clock)
    scrapers, connection = Scrapers(clock), Peer()
    series.add_events(events([("a", 7), ("a", 5000)]))
    assert observed(series.family(scrapers.scrape(connection))) == {"a": ([0, 0, 0], 0.0)}
    assert observed(series.family(scrapers.scrape(connection))) == {"a": ([0, 1, 1], 5007 * 1e-9)}


def test_the_one_series_of_a_metric_without_labels_begins_at_zero_too(clock: Clock) -> None:
    series = table(metric(labels=False), clock)
    scrapers, connection = Scrapers(clock), Peer()
    series.add_events(events("aab"))
    assert [series.family(scrapers.scrape(connection)).values.tolist() for _ in range(2)] == [[0], [3]]


def test_another_client_sees_everything_at_once_and_changes_nothing(clock: Clock) -> None:
    series = table(metric(), clock)
    prometheus = scraper(clock, series)
    prometheus.scrape()
    series.add_events(events("aab"))
    for _ in range(3):
        assert shown(series.family(prometheus.scrapers.scrape(None))) == {"a": 2, "b": 1}
    assert prometheus.scrape() == {"a": 0, "b": 0}
    assert shown(series.family(prometheus.scrapers.scrape(None))) == {"a": 2, "b": 1}
    assert prometheus.scrape() == {"a": 2, "b": 1}


def test_a_series_is_released_when_the_last_scraper_has_had_it_at_zero(clock: Clock) -> None:
    series = table(metric(), clock)
    one = scraper(clock, series)
    two = Scraper(one.scrapers, series)
    for each in (one, two):
        each.scrape()
    series.add_events(events("aaa"))
    assert [one.scrape(), one.scrape(), two.scrape(), one.scrape(), two.scrape()] == [
        {"a": 0},
        {"a": 0},
        {"a": 0},
        {"a": 3},
        {"a": 3},
    ]


def test_a_released_series_is_never_held_again_for_a_scraper_that_comes_later(clock: Clock) -> None:
    series = table(metric(), clock)
    one = scraper(clock, series)
    series.add_events(events("aaa"))
    one.scrape()
    one.scrape()
    assert Scraper(one.scrapers, series).scrape() == {"a": 3}


def test_scrapers_that_keep_no_connection_see_a_series_after_a_minute(clock: Clock) -> None:
    series, scrapers = table(metric(), clock), Scrapers(clock)
    series.add_events(events("aaa"))
    pages = []
    for seconds in (0.0, UNATTENDED_SECONDS - 1, 1.0):
        clock.now += seconds
        connection = Peer()
        pages.append(shown(series.family(scrapers.scrape(connection))))
        connection.is_open = False
    assert pages == [{"a": 0}, {"a": 0}, {"a": 3}]


def test_the_next_exporter_holds_only_those_not_yet_released(clock: Clock) -> None:
    with state() as fd:
        memory = Ledger(fd, "x")
        series = table_in(memory, metric(), clock)
        series.add_events(events("aaa"))
        prometheus = scraper(clock, series)
        prometheus.scrape()
        prometheus.scrape()
        series.add_events(events("abb"))
        assert prometheus.scrape() == {"a": 4, "b": 0}
        memory.commit()
        series = table_in(Ledger(fd, "x"), metric(), clock)
        prometheus = scraper(clock, series)
        assert [prometheus.scrape(), prometheus.scrape()] == [{"a": 4, "b": 0}, {"a": 4, "b": 2}]


@pytest.mark.slow
@settings(max_examples=200)
@given(
    intervals=st.lists(st.sampled_from([5, 15]), min_size=1, max_size=3),
    batches=st.lists(st.lists(st.integers(0, 12).map(lambda n: b"n%d" % n), max_size=7), min_size=1, max_size=60),
)
def test_the_increase_of_every_scraper_is_all_that_happened(intervals: list[int], batches: list[list[bytes]]) -> None:
    clock = Clock()
    series: SeriesTable = table(metric(), clock)
    scrapers = Scrapers(clock)
    each = [(interval, Scraper(scrapers, series)) for interval in intervals]
    exact: Counter[str] = Counter()

    def second(names: list[bytes]) -> None:
        series.add_events(events(names))
        exact.update(name.decode() for name in names)
        clock.now += 1
        assert shown(series.family(scrapers.scrape(None))) == exact
        for place, (interval, prometheus) in enumerate(each):
            if (clock.now + place) % interval == 0:
                before, page = prometheus.before, prometheus.scrape()
                assert all(page[name] >= before[name] for name in page.keys() & before.keys())

    for _ in range(15):
        second([])
    for names in batches:
        second(names)
    for _ in range(45):
        second([])
    assert all(prometheus.increase == exact for _, prometheus in each)


def test_a_burst_during_an_outage_longer_than_the_idle_time_is_on_the_pages_after_it(clock: Clock) -> None:
    series = table(metric(idle=100.0), clock)
    prometheus = scraper(clock, series)
    prometheus.scrape()
    series.add_events(events(["burst"] * 101))
    clock.now += 7200
    pages = []
    for _ in range(4):
        clock.now += 15
        pages.append(prometheus.scrape())
    assert pages == [{"burst": 0}, {"burst": 101}, {}, {}]
    assert (prometheus.increase, series.expired) == ({"burst": 101}, 101)


def test_a_row_that_was_never_shown_stays_while_no_page_is_made(clock: Clock) -> None:
    series = table(metric(budget=2, idle=100.0), clock)
    series.add_events(events("a"))
    clock.now += 101
    series.add_events(events("bbb"))
    clock.now += 101
    assert shown(series.family()) == {"a": 1, "other": 3}


def test_a_loser_stays_until_every_scraper_has_had_its_last_value(clock: Clock) -> None:
    series = table(metric(budget=2), clock)
    one = scraper(clock, series)
    two = Scraper(one.scrapers, series)
    series.add_events(events("aaa"))
    for each in (one, two, one, two):
        clock.now += 15
        each.scrape()
    series.add_events(events(["a"] + ["b"] * 101))
    clock.now += WINDOW_SECONDS
    assert one.scrape() == {"a": 4, "other": 0}
    series.add_events(events("a"))
    assert shown(series.family(one.scrapers.scrape(None))) == {"a": 4, "other": 102}
    assert two.scrape() == {"a": 4, "other": 0}
    assert one.scrape() == {"b": 0, "other": 102}
    assert series.expired == 4


def test_the_row_of_a_night_job_changes_hands_without_a_jump_in_any_rate(clock: Clock) -> None:
    series = table(metric(budget=2, idle=1e9), clock)
    prometheus = scraper(clock, series)
    for name, pages, times, most in (("job", 240, 30_000, 60_000), ("newcomer", 360, 15, 30)):
        risen = []
        for _ in range(pages):
            clock.now += 15
            series.add_counts([(events([name]), np.array([times], np.int64))])
            prometheus.scrape()
            risen.append(prometheus.last)
        # The page that releases a row has two intervals' events.
        assert max(risen[1:]) <= most
        assert sum(risen) <= pages * times
    assert prometheus.before.keys() == {"newcomer", "other"}
    assert (series.expired, sum(prometheus.before.values())) == (7_200_000, 5_400)
