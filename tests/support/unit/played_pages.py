# SPDX-License-Identifier: Apache-2.0
"""Plays pages of a series table to scrapers, and computes increases as Prometheus does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from probed.exporter.http_server.messages import Peer
from probed.exporter.series.scrapers import Scrapers
from probed.exporter.series.table import SeriesTable
from support.unit.clock import Clock
from support.unit.series_tables import shown


@dataclass
class Scraper:
    """A scraper of one counter, with its pages and their increase by series."""

    scrapers: Scrapers
    series: SeriesTable
    connection: Peer = field(default_factory=Peer)
    before: dict[str, int] = field(default_factory=dict)
    increase: Counter[str] = field(default_factory=Counter)
    last: int = 0
    """The increase of the sum since the page before."""

    def scrape(self) -> dict[str, int]:
        """Take a page; handle new and fallen series as Prometheus's `increase` does."""
        page = shown(self.series.family(self.scrapers.scrape(self.connection)))
        self.last = 0
        for name in page.keys() & self.before.keys():
            fell = page[name] < self.before[name]
            risen = page[name] - (0 if fell else self.before[name])
            self.increase[name] += risen
            self.last += risen
        self.before = page
        return page


def scraper(clock: Clock, series: SeriesTable) -> Scraper:
    """Return the only scraper of a table."""
    return Scraper(Scrapers(clock), series)
