# SPDX-License-Identifier: Apache-2.0
"""What a probe tells of itself, as plain numbers. `probe` fills them in; `itself` and `pulse` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.bpf.program_stats import ProgramStats
from probed.exporter.series.table import SeriesUsage

LOSS_REASONS = ("ring_full", "map_full", "corrupt")
"""Why an event is missing from the metrics: a closed set, the values of the label `reason`."""


@dataclass(frozen=True, slots=True)
class WorkStats:
    """How often the exporter drained all rings and collected all probes, and the seconds that it took."""

    drains: int = 0
    drain_seconds: float = 0.0
    collections: int = 0
    collection_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ProbeStats:
    """Sums of one probe since it was loaded, in events: emitted = delivered + lost + discarded.

    `lost` is by reason, one of `LOSS_REASONS`; a reason that is not in it stands for 0.
    `ring_bytes` is the ring's capacity (0: no ring), `ring_fill_bytes` what the last drain found waiting,
    `ring_fill_max_bytes` the most of the last five minutes. `unaccounted` is by how many the events that the programs
    count miss those of the ring. `start_time` is since when the probe counts, seconds since the epoch (0: unknown).
    `notes_lost` counts notes for later events that a full map refused; their events are delivered.
    `usages` are those of its metrics. `programs` are its own, `hooks` those that they are behind, `hashes` its hash
    maps, as the kernel knows them. `missed` has, by program, the runs that the kernel left out.
    """

    name: str
    emitted: int = 0
    delivered: int = 0
    discarded: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    ring_bytes: int = 0
    ring_fill_bytes: int = 0
    ring_fill_max_bytes: int = 0
    unaccounted: int = 0
    notes_lost: int = 0
    start_time: float = 0.0
    usages: Sequence[SeriesUsage] = ()
    missed: Mapping[str, int] = field(default_factory=dict)
    programs: Sequence[ProgramStats] = ()
    hooks: Sequence[ProgramStats] = ()
    hashes: Sequence[HashUsage] = ()
