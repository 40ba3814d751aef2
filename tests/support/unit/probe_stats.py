# SPDX-License-Identifier: Apache-2.0
"""Numbers of probes that are up, for the tables of self metrics."""

from __future__ import annotations

from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics.daemon import Build
from probed.exporter.self_metrics.probes import ProbeSnapshot, ProbeStats
from probed.ipc.exporter_messages import ProbeStatus

BUILD = Build("0.1.0", "3.11.2", "0.26.0", "6.18.0")


def probes_of(*probes: ProbeStats) -> ProbeSnapshot:
    return ProbeSnapshot([ProbeStatus(probe.name, "", True, "", "", {}) for probe in probes], probes)


def series(families: list[Family], name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a family by its label values."""
    (family,) = [family for family in families if family.name == name]
    return dict(zip(family.labels, family.values.tolist(), strict=True))
