# SPDX-License-Identifier: Apache-2.0
"""The counts of a probe's programs about their own work, in the kernel map `probed_stats`."""

from __future__ import annotations

from probed.exporter.bpf.map_reader import CountMap
from probed.exporter.weights.overflow import OverflowStats
from probed.ipc.manifest import Field, Map, Record

STAT_SENT, STAT_RING_FULL, STAT_MAP_FULL, STAT_NOTE_LOST = range(4)
STAT_KEPT, STAT_LEFT, STAT_BEGUN, STATS = range(4, 12, 2)
"""enum probed_stat of probes/include/probed.bpf.h."""

_STATS = Map("probed_stats", "percpu_array", Record(4, (Field("key", "u32", 0, 1),)), STATS)


class StatsMap:
    """The counts by `enum probed_stat`."""

    def __init__(self, fd: int, cpus: int) -> None:
        self._content = CountMap(fd, _STATS, cpus)

    def read(self) -> dict[int, int]:
        """Return the programs' counts by `enum probed_stat`."""
        keys, counts = self._content.read()
        return dict(zip(keys["key"].tolist(), counts.tolist(), strict=True))

    def overflow(self) -> OverflowStats:
        """Return the additions to the overflow maps: begun, kept, and given up."""
        stats = self.read()
        begun, kept, left = ((stats[stat], stats[stat + 1]) for stat in (STAT_BEGUN, STAT_KEPT, STAT_LEFT))
        return OverflowStats(begun, kept, left)
