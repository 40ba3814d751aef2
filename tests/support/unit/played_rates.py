# SPDX-License-Identifier: Apache-2.0
"""Plays hours of a clock to a real series table, and gives the scrapers' histories to promtool.

`promtool` evaluates the histories; `test_played_rates` has the expectations. Two scrapers take pages out of step, and a
plain client takes one every second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from probed.exporter.http_server.messages import Peer
from probed.exporter.series.scrapers import FIRST_SECONDS, Scrapers
from probed.exporter.series.table import SeriesTable
from support.monitoring.promtool import Machine
from support.unit.clock import Clock
from support.unit.series_tables import events, metric, shown, table

NAME: Final = "probed_x_total"

Workload = Callable[[int], Mapping[str, int]]
"""Takes a second; returns the events of each name in the second."""


@dataclass(frozen=True, slots=True)
class Scraper:
    """A scraper with an `interval` and an `offset` in seconds that keeps its pages."""

    interval: int
    offset: int
    connection: Peer = field(default_factory=Peer)
    pages: list[dict[str, int]] = field(default_factory=list)

    def history(self, instance: str) -> Machine:
        """Return the pages as promtool's input series; a series that left the page is stale."""
        machine = Machine(instance)
        for name in sorted(set().union(*self.pages)):
            values = [page.get(name) for page in self.pages]
            machine.gauge(NAME, " ".join(map(_written, values, [None, *values])), name=name)
        return machine


def _written(value: int | None, before: int | None) -> str:
    if value is not None:
        return str(value)
    return "_" if before is None else "stale"


def play(workload: Workload, seconds: int, scrapers: list[Scraper], **of: Any) -> list[Machine]:
    """Play a workload to a table with the metric `of`, second by second; return each scraper's history."""
    clock = Clock()
    series, registry = table(metric(**of), clock), Scrapers(clock, FIRST_SECONDS)
    for second in range(seconds):
        clock.now += 1
        _count(series, workload(second))
        series.family(registry.scrape(None))
        for scraper in scrapers:
            if second % scraper.interval == scraper.offset:
                scraper.pages.append(shown(series.family(registry.scrape(scraper.connection))))
    return [scraper.history(f"scraper{number}") for number, scraper in enumerate(scrapers)]


def _count(series: SeriesTable, counts: Mapping[str, int]) -> None:
    series.add_counts([(events(counts), np.array(list(counts.values()), np.int64))])
