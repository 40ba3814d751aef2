# SPDX-License-Identifier: Apache-2.0
"""The scrapers: which connections fetch pages regularly, and which pages each of them has had.

`Collector` owns one registry and asks it for a `Scrape` for each page. `ShownRows` decides with it which rows a page
shows at 0 and which rows may leave. The registry reads no socket: a connection says itself whether it is open.

Prometheus computes `increase()` between two samples of a series, so it needs a sample at 0 before the first count. A
scraper is recognised by the header that Prometheus and compatible agents send (`SCRAPER_HEADER`), and is identified by
its connection, which such programs keep open between two scrapes.
Source: prometheus/prometheus scrape/scrape.go, where the header is set on each request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SCRAPER_HEADER = "x-prometheus-scrape-timeout-seconds"
"""In lower case, as `Request.headers` has it."""

MOST = 64
"""Scrapers that are remembered; the one whose last page is oldest makes room."""

INTERVALS = 2.5
"""A scraper that has not come for so many of its intervals is no longer active."""

UNKNOWN_SECONDS = 65.0
"""For so long a scraper is active after its first page, when its interval is not known."""

UNATTENDED_SECONDS = 60.0
"""A row is released so long after its first page while no scraper is active: none keeps its connection open."""

LONGEST_SECONDS = 150.0
"""A row is released so long after its first page in any case."""

FIRST_SECONDS = 20.0
"""For so long after the first page no row is released: scrapers that come every 15 s all come by then."""


class Connection(Protocol):
    """A client's connection."""

    is_open: bool


@dataclass(frozen=True, slots=True)
class Scrape:
    """One page, and which pages the active scrapers have had before it.

    Pages that change something are numbered from 1; `number` is 0 for a page that changes nothing: another client
    asked for it while a scraper is active. `had_by_all` is the number of the latest page that every active scraper has
    had, this page's own scraper included. Rows whose first page was at `release_before` or earlier are released in any
    case. Rows that were shown in full on page `leave_through` or an earlier one may leave.
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
    connection: Connection
    page: int = 0
    came: float = 0.0
    gap: float | None = None
    interval: float | None = None

    def is_active(self, now: float) -> bool:
        patience = UNKNOWN_SECONDS if self.interval is None else INTERVALS * self.interval
        return self.connection.is_open and now - self.came <= patience

    def come(self, page: int, now: float) -> None:
        """Note a page; the interval is the longer one of the last two."""
        if self.page:
            gap = now - self.came
            self.interval = gap if self.gap is None else max(gap, self.gap)
            self.gap = gap
        self.page, self.came = page, now


class Scrapers:
    """At most `MOST` scrapers by connection. Not thread-safe: `Collector` holds its lock around every call."""

    def __init__(self, clock: Callable[[], float], first_seconds: float = 0.0) -> None:
        """`clock` gives seconds; for `first_seconds` after the first page for a scraper, more scrapers are expected."""
        self._clock = clock
        self._first_seconds = first_seconds
        self._complete_at: float | None = None
        self._pages = 0
        self._scrapers: list[_Scraper] = []

    def __len__(self) -> int:
        """Return how many scrapers are remembered."""
        return len(self._scrapers)

    def scrape(self, connection: Connection | None) -> Scrape:
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

    def _scraper(self, connection: Connection) -> _Scraper:
        """Return the scraper of a connection; a new one may take the place of the one that came longest ago."""
        for scraper in self._scrapers:
            if scraper.connection is connection:
                return scraper
        if len(self._scrapers) == MOST:
            self._scrapers.remove(min(self._scrapers, key=lambda each: each.came))
        self._scrapers.append(_Scraper(connection))
        return self._scrapers[-1]
