# SPDX-License-Identifier: Apache-2.0
"""Snapshots for the tables of self metrics, of probes that are up."""

from __future__ import annotations

from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics.daemon import Build, Snapshot
from probed.exporter.self_metrics.stats import ProbeStats, WorkStats
from probed.ipc.exporter_messages import ProbeStatus, Status

BUILD = Build("0.1.0", "3.11.2", "0.26.0", "6.18.0")


def snapshot_of(*probes: ProbeStats) -> Snapshot:
    states = tuple(ProbeStatus(probe.name, "", True, "", "", {}) for probe in probes)
    return Snapshot(BUILD, Status(states, "0.26.0", True, 1.0, 0), probes, WorkStats(), 0)


def series(families: list[Family], name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a family by its label values."""
    (family,) = [family for family in families if family.name == name]
    return dict(zip(family.labels, family.values.tolist(), strict=True))
