# SPDX-License-Identifier: Apache-2.0
"""The scrapers: which connections fetch pages regularly, and which pages each of them has had.

`Collector` owns one registry and begins a `Scrape` for each page. With the `Scrape`, `ShownRows` decides which rows a
page shows at 0 and which rows may leave. The registry reads no socket: `ScraperConnection.is_open` tells the state.

Prometheus computes `increase()` between two samples of a series, so it needs a sample at 0 before the first count. A
scraper is recognised by the header of Prometheus and compatible agents (`SCRAPER_HEADER`), and identified by the
connection, which such programs keep open between two scrapes.
Source: prometheus/prometheus scrape/scrape.go, where the header is set on each request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from probed.frozen import frozen

SCRAPER_HEADER = "x-prometheus-scrape-timeout-seconds"
"""In lower case, as `Request.headers` has it."""

MOST = 64
"""Most scrapers that are remembered; past this, the scraper with the oldest page is forgotten."""

INTERVALS = 2.5
"""A scraper is no longer active after so many intervals without a page."""

UNKNOWN_SECONDS = 65.0
"""How long a scraper is active after its first page, while the interval is unknown."""

UNATTENDED_SECONDS = 60.0
"""A row is released so long after its first page while no scraper is active (none keeps a connection open)."""

LONGEST_SECONDS = 150.0
"""A row is released so long after its first page in any case."""

FIRST_SECONDS = 20.0
"""No row is released for so long after the first page: all scrapers with 15 s intervals come by then."""


class ScraperConnection(Protocol):
    """A client's connection."""

    is_open: bool


@frozen
class Scrape:
    """One page, and which pages the active scrapers have had before it.

    Pages with an effect are numbered from 1; `number` is 0 for a page without one: another client's, while a scraper is
    active. `had_by_all` is the number of the latest page that every active scraper has had, the scraper of this page
    included. Rows first shown at `release_before` or earlier are released in any case. Rows shown in full on page
    `leave_through` or an earlier page may leave.
    """

    number: int
    for_scraper: bool
    now: float
    had_by_all: int
    release_before: float
    leave_through: int


UNATTENDED = Scrape(1, False, 0.0, 0, 0.0, 1)
"""A page for another client while no scraper is active."""


@dataclass(slots=True)
class _Scraper:
    connection: ScraperConnection
    page: int = 0
    came: float = 0.0
    gap: float | None = None
    interval: float | None = None

    def is_active(self, now: float) -> bool:
        patience = UNKNOWN_SECONDS if self.interval is None else INTERVALS * self.interval
        return self.connection.is_open and now - self.came <= patience

    def come(self, page: int, now: float) -> None:
        """Note a page; the interval is the longer of the last two."""
        if self.page:
            gap = now - self.came
            self.interval = gap if self.gap is None else max(gap, self.gap)
            self.gap = gap
        self.page, self.came = page, now


class Scrapers:
    """At most `MOST` scrapers by connection. Not thread-safe: `Collector` holds its lock around every call."""

    def __init__(self, clock: Callable[[], float], first_seconds: float = 0.0) -> None:
        """`clock` gives seconds; more scrapers are expected for `first_seconds` after the first page for a scraper."""
        self._clock = clock
        self._first_seconds = first_seconds
        self._complete_at: float | None = None
        self._pages = 0
        self._scrapers: list[_Scraper] = []

    def __len__(self) -> int:
        """Return the number of remembered scrapers."""
        return len(self._scrapers)

    def scrape(self, connection: ScraperConnection | None) -> Scrape:
        """Begin a page: for the scraper of this connection, or for another client (None)."""
        now = self._clock()
        self._scrapers = [each for each in self._scrapers if each.connection.is_open]
        active = [each for each in self._scrapers if each.is_active(now)]
        last = self._pages
        if connection is None:
            had = min((each.page for each in active), default=last)
            number = 0 if active else self._next()
            return Scrape(number, False, now, 0, now - LONGEST_SECONDS, had)
        scraper = self._scraper(connection)
        had = min(each.page for each in [*active, scraper])
        scraper.come(self._next(), now)
        if self._expects_more(now):
            had = 0
        hold = LONGEST_SECONDS if active else UNATTENDED_SECONDS
        return Scrape(scraper.page, True, now, had, now - hold, had if active else last)

    def _expects_more(self, now: float) -> bool:
        if self._complete_at is None:
            self._complete_at = now + self._first_seconds
        return now < self._complete_at

    def _next(self) -> int:
        self._pages += 1
        return self._pages

    def _scraper(self, connection: ScraperConnection) -> _Scraper:
        """Return the scraper of a connection; a new scraper may replace the one with the oldest page."""
        for scraper in self._scrapers:
            if scraper.connection is connection:
                return scraper
        if len(self._scrapers) == MOST:
            self._scrapers.remove(min(self._scrapers, key=lambda each: each.came))
        self._scrapers.append(_Scraper(connection))
        return self._scrapers[-1]
