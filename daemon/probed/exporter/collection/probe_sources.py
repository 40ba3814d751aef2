# SPDX-License-Identifier: Apache-2.0
"""The kernel maps and iterators from which one probe's metrics come, beside its ring.

`probe` reads them all together, and settles them after the commit of what `probe_tables` took from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.cgroup_keys import KnownCgroups
from probed.exporter.bpf.gauge_source import GaugeSource
from probed.exporter.bpf.map_reader import CountMap, Entries
from probed.exporter.bpf.map_source import MapSource
from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.bpf.recent_counts import RecentCounts
from probed.exporter.bpf.row_source import RowSource
from probed.exporter.decoders import Context
from probed.ipc.manifest import FdName, LoadedProbe, Map, ResolvedMetric

MORE_ENTRIES = 64
"""Entries that a small map of gauges may have more while it is read than it has at a time, beside an eighth."""


class ProbeSources:
    """The maps of counts, the maps of gauges, and the programs at iterators, each by name."""

    def __init__(
        self, loaded: LoadedProbe, fds: Mapping[FdName, int], cpus: int, context: Context, ledger: Ledger
    ) -> None:
        """`context` knows the removed control groups. Raises OSError, SpoiledState."""
        self._fds = fds
        self._cpus = cpus
        self._context = context
        self._ledger = ledger
        self._row = loaded.row
        gauges = {name for metric in loaded.metrics if metric.type == "gauge" for name in metric.maps}
        maps = {layout.name: layout for layout in loaded.maps}
        self._counts = {name: self._source(layout) for name, layout in maps.items() if name not in gauges}
        self._gauges = {name: self._gauge_source(maps[name]) for name in maps if name in gauges}
        self._rows = {each.program: self._row_source(each.program) for each in loaded.iterators}

    def _source(self, layout: Map) -> MapSource:
        counts = CountMap(self._fds[FdName("map", layout.name)], layout, self._cpus)
        recent = (
            RecentCounts.of(self._fds[FdName("recent", layout.name)], layout.recent, self._cpus)
            if layout.recent
            else None
        )
        return MapSource(counts, layout, self._ledger, self._known_cgroups(), recent)

    def _gauge_source(self, layout: Map) -> GaugeSource:
        # Programs delete entries of such a map, and add others, while it is read.
        more = 0 if layout.kind.endswith("array") else layout.entries // 8 + MORE_ENTRIES
        content = Entries(self._fds[FdName("map", layout.name)], layout, self._cpus, dtype(layout.value), more)
        return GaugeSource(content, layout, self._known_cgroups())

    def _known_cgroups(self) -> KnownCgroups:
        return KnownCgroups(self._context.removed_cgroups, self._context.doubt_cgroups)

    def _row_source(self, program: str) -> RowSource:
        assert self._row is not None
        return RowSource(self._fds[FdName("iterator", program)], self._row)

    def _maps(self) -> list[MapSource | GaugeSource]:
        return [*self._counts.values(), *self._gauges.values()]

    @property
    def cgroup_rooms(self) -> list[int | None]:
        """Control groups that fit into each map; None for a map that has none."""
        return [source.cgroup_room for source in self._maps()]

    @property
    def are_filling(self) -> bool:
        """Whether the last reading found a map by control group more than a quarter full."""
        return any(source.is_filling for source in self._maps())

    def read_rows(self) -> Iterator[str]:
        """Run the programs at iterators; yield those whose reading was cut. Raises OSError."""
        for program, source in self._rows.items():
            if not source.read():
                yield program

    def read_maps(self) -> None:
        """Read the kernel's maps. Raises OSError."""
        for source in self._maps():
            source.read()

    def take_counts(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Return the increments that the last reading found: by map the keys, and the increments."""
        return {name: source.take() for name, source in self._counts.items()}

    def values(self, metric: ResolvedMetric) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield a gauge's values as of the last reading: of each map or iterator the keys, and the values."""
        if metric.maps:
            yield from (self._gauges[name].values(str(metric.value)) for name in metric.maps)
        else:
            yield from (self._rows[name].values(metric.value, metric.when) for name in metric.rows)

    def settle(self) -> None:
        """Take over the counts of the last reading as committed."""
        for source in self._maps():
            source.settle()

    def retire(self) -> None:
        """Delete the entries of removed control groups that have been counted. Raises OSError."""
        for source in self._maps():
            source.retire()

    def usages(self) -> list[HashUsage]:
        """Return the usage of the hash maps as of the last reading."""
        return [usage for source in self._maps() if (usage := source.usage())]
