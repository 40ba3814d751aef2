# SPDX-License-Identifier: Apache-2.0
"""The series of one probe: a table for each metric.

`probe` adds the events of its ring and the values of `probe_sources`, and takes the families of a page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from probed.exporter.arrays.ledger import Ledger, Scalar
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.collection.probe_sources import ProbeSources
from probed.exporter.decoders import Context, decoder
from probed.exporter.decoders.fold import Decoder
from probed.exporter.exposition.family import Family
from probed.exporter.series.gauges import GaugeTable
from probed.exporter.series.key_cache import Allowance
from probed.exporter.series.scrapers import Scrape
from probed.exporter.series.table import SeriesTable, SeriesUsage
from probed.exporter.series.weights import Weights
from probed.ipc.manifest import Field, LoadedProbe, Map, ResolvedMetric

NANOSECONDS = 1_000_000_000
"""In a second."""


class ProbeTables:
    """The tables of counters and histograms, and those of gauges, each with its metric."""

    def __init__(
        self, loaded: LoadedProbe, context: Context, ledger: Ledger, drained_ns: Scalar, read_ns: Scalar
    ) -> None:
        """`context` is for the decoders. Raises OSError, SpoiledState.

        `drained_ns` and `read_ns` are the times up to which the ring, and maps or slots, have been counted.
        """
        self._loaded = loaded
        self._context = context
        self._counts = [
            (metric, self._table(metric, ledger, drained_ns, read_ns))
            for metric in loaded.metrics
            if metric.type != "gauge"
        ]
        self._gauges = [(metric, self._gauge(metric)) for metric in loaded.metrics if metric.type == "gauge"]

    def _table(self, metric: ResolvedMetric, ledger: Ledger, drained_ns: Scalar, read_ns: Scalar) -> SeriesTable:
        counted = read_ns if metric.maps or self._loaded.slots else drained_ns
        return SeriesTable(metric, self._columns(metric), ledger, since=lambda: counted.value / NANOSECONDS)

    def _gauge(self, metric: ResolvedMetric) -> GaugeTable:
        return GaugeTable(metric, self._columns(metric), Allowance(time.monotonic) if metric.rows else None)

    def _columns(self, metric: ResolvedMetric) -> list[tuple[Field, Decoder]]:
        of_events = self._loaded.row if metric.rows else self._loaded.event
        record = self._map_layout(metric.maps[0]).key if metric.maps else of_events
        assert record is not None
        by_name = {field.name: field for field in record.fields}
        return [(by_name[label.field], decoder(label, self._context)) for label in metric.labels]

    def _map_layout(self, name: str) -> Map:
        return next(layout for layout in self._loaded.maps if layout.name == name)

    def _in_order(self) -> list[SeriesTable | GaugeTable]:
        """Return the tables in the order of the declaration."""
        tables: dict[str, SeriesTable | GaugeTable] = {metric.name: table for metric, table in self._counts}
        tables.update((metric.name, table) for metric, table in self._gauges)
        return [tables[metric.name] for metric in self._loaded.metrics]

    def hurry_while(self, is_pressed: Callable[[], bool]) -> None:
        """Let most new keys of events and maps wait while `is_pressed` says so."""
        for _, table in self._counts:
            table.hurry_while(is_pressed)

    def forget_keys(self) -> None:
        """Make all label text anew as keys come."""
        for table in self._in_order():
            table.forget_keys()

    def add_events(self, events: NDArray[Any], weights: Weights | None) -> None:
        """Count events of the ring, shape (n,)."""
        for metric, table in self._counts:
            if not metric.maps:
                table.add_events(events, weights)

    def add_maps(self, sources: ProbeSources) -> None:
        """Count the increments, and take over the values, that the last reading of the maps found."""
        risen = sources.take_counts()
        for metric, table in self._counts:
            if metric.maps:
                table.add_counts(risen[name] for name in metric.maps)
        for metric, gauge in self._gauges:
            if metric.maps:
                gauge.set(sources.values(metric))

    def set_rows(self, sources: ProbeSources) -> None:
        """Take over the rows of iterators that the last reading found."""
        for metric, gauge in self._gauges:
            if metric.rows:
                gauge.set(sources.values(metric))

    def families(self, scrape: Scrape) -> list[Family]:
        """Return the present families for the page `scrape`."""
        return [table.family(scrape) for table in self._in_order()]

    def usages(self) -> tuple[SeriesUsage, ...]:
        """Return the usage of each metric's budget."""
        return tuple(table.usage() for table in self._in_order())
