# SPDX-License-Identifier: Apache-2.0
"""Which scrapers are active, and which pages each scraper has had."""

from __future__ import annotations

import pytest

from probed.exporter.http_server.messages import Peer
from probed.exporter.series.scrapers import LONGEST_SECONDS, MOST, UNATTENDED_SECONDS, UNKNOWN_SECONDS, Scrapers
from support.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scrapers(clock: Clock) -> Scrapers:
    return Scrapers(clock)


def test_a_page_for_another_client_changes_nothing_while_a_scraper_is_active(scrapers: Scrapers) -> None:
    first = scrapers.scrape(Peer())
    assert (first.number, first.for_scraper, first.had_by_all) == (1, True, 0)
    other = scrapers.scrape(None)
    assert (other.number, other.for_scraper, other.leave_through) == (0, False, 1)


def test_without_a_scraper_every_page_is_numbered(scrapers: Scrapers) -> None:
    assert [scrapers.scrape(None).number for _ in range(3)] == [1, 2, 3]
    assert scrapers.scrape(None).leave_through == 3


def test_the_slowest_active_scraper_says_which_pages_all_have_had(scrapers: Scrapers, clock: Clock) -> None:
    fast, slow = Peer(), Peer()
    for _ in range(2):
        scrapers.scrape(slow)
        for _ in range(3):
            clock.now += 5
            scrapers.scrape(fast)
    assert scrapers.scrape(fast).had_by_all == 5
    assert scrapers.scrape(slow).had_by_all == 5
    assert scrapers.scrape(slow).had_by_all == 9


def test_a_new_scraper_has_had_no_page(scrapers: Scrapers) -> None:
    old = Peer()
    scrapers.scrape(old)
    scrapers.scrape(old)
    assert scrapers.scrape(Peer()).had_by_all == 0


def test_a_scraper_that_comes_first_waits_for_those_that_follow(clock: Clock) -> None:
    scrapers, fast, slow = Scrapers(clock, 11.0), Peer(), Peer()
    assert [scrapers.scrape(fast).had_by_all for _ in range(2)] == [0, 0]
    clock.now += 7
    assert scrapers.scrape(slow).had_by_all == 0
    clock.now += 4
    assert scrapers.scrape(fast).had_by_all == 2
    assert scrapers.scrape(slow).had_by_all == 3


def test_a_closed_connection_is_forgotten(scrapers: Scrapers) -> None:
    kept, closed = Peer(), Peer()
    scrapers.scrape(closed)
    scrapers.scrape(kept)
    closed.is_open = False
    assert scrapers.scrape(kept).had_by_all == 2
    assert len(scrapers) == 1


@pytest.mark.parametrize(("pages", "patience"), [(1, UNKNOWN_SECONDS), (2, 25.0)])
def test_a_scraper_that_stays_away_is_no_longer_waited_for(
    scrapers: Scrapers, clock: Clock, pages: int, patience: float
) -> None:
    away = Peer()
    for _ in range(pages):
        clock.now += 10
        scrapers.scrape(away)
    clock.now += patience
    assert scrapers.scrape(None).number == 0
    clock.now += 1
    assert scrapers.scrape(None).number == pages + 1


def test_rows_are_released_by_the_clock_sooner_when_no_connection_stays_open(scrapers: Scrapers, clock: Clock) -> None:
    assert scrapers.scrape(Peer(is_open=False)).release_before == clock.now - UNATTENDED_SECONDS
    scrapers.scrape(Peer())
    assert scrapers.scrape(Peer()).release_before == clock.now - LONGEST_SECONDS


def test_at_most_so_many_scrapers_are_remembered_and_the_oldest_makes_room(scrapers: Scrapers, clock: Clock) -> None:
    connections = [Peer() for _ in range(MOST + 1)]
    for connection in connections:
        clock.now += 0.01
        scrapers.scrape(connection)
    assert len(scrapers) == MOST
    assert scrapers.scrape(None).leave_through == 2
