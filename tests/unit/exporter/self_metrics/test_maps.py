# SPDX-License-Identifier: Apache-2.0
"""Metrics of the probes' hash maps."""

from __future__ import annotations

from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.self_metrics import maps
from probed.exporter.self_metrics.metric import families
from probed.exporter.self_metrics.probes import ProbeStats
from support.unit.probe_stats import probes_of


def test_entries_and_capacity_have_the_same_labels() -> None:
    probe = ProbeStats("process", hashes=(HashUsage("last_exec", 5, 65_536),))
    entries, capacity = families(maps.METRICS, probes_of(probe))
    assert list(entries.labels) == list(capacity.labels) == [("process", "last_exec")]
    assert (entries.values.tolist(), capacity.values.tolist()) == ([5], [65_536])
