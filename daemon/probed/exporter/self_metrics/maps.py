# SPDX-License-Identifier: Apache-2.0
"""Self metrics of the probes' hash maps: entries and capacity."""

from __future__ import annotations

from collections.abc import Callable

from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.self_metrics.metric import Samples, SelfMetric
from probed.exporter.self_metrics.probes import ProbeSnapshot


def _by_map(read: Callable[[HashUsage], int]) -> Callable[[ProbeSnapshot], Samples]:
    return lambda probes: {(probe.name, usage.name): read(usage) for probe in probes.stats for usage in probe.hashes}


METRICS: tuple[SelfMetric[ProbeSnapshot], ...] = (
    SelfMetric(
        "probed_map_entries", "gauge", ("probe", "map"), "entries",
        "Entries of the probe's hash map; for a map that no metric reads, at most 10 seconds ago.",
        "each scrape",
        _by_map(lambda usage: usage.entries),
    ),
    SelfMetric(
        "probed_map_capacity", "gauge", ("probe", "map"), "entries",
        "Most entries of the probe's hash map; a full map loses inserts: reason map_full, or probed_notes_lost_total.",
        "a load of the probe",
        _by_map(lambda usage: usage.capacity),
    ),
)  # fmt: skip
