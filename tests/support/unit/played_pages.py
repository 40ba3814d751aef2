# SPDX-License-Identifier: Apache-2.0
"""Pages of a series table, played to scrapers, and increases computed from them as Prometheus computes them."""

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
    """A scraper of one counter: the pages it had, and the increase over all of them by series."""

    scrapers: Scrapers
    series: SeriesTable
    connection: Peer = field(default_factory=Peer)
    before: dict[str, int] = field(default_factory=dict)
    increase: Counter[str] = field(default_factory=Counter)
    last: int = 0
    """The increase of the sum since the page before."""

    def scrape(self) -> dict[str, int]:
        """Take a page; a series that is new on it, or that fell, is treated as Prometheus's `increase` treats it."""
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
