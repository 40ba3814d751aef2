# SPDX-License-Identifier: Apache-2.0
"""All self metrics, in the order of the page: the collector's, the HTTP server's, and those of the process."""

from __future__ import annotations

from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics import daemon, http, maps, metric, probes, process, programs
from probed.exporter.self_metrics.daemon import DaemonStats
from probed.exporter.self_metrics.metric import AnyMetric
from probed.exporter.self_metrics.probes import ProbeSnapshot

_OF_PROBES = (*probes.METRICS, *programs.METRICS, *maps.METRICS)

ALL: tuple[AnyMetric, ...] = (*daemon.METRICS, *_OF_PROBES, *http.METRICS, *process.METRICS)


def families(of_daemon: DaemonStats, of_probes: ProbeSnapshot) -> list[Family]:
    """Return the families of the collector: all but those of the HTTP server and of the process."""
    return metric.families(daemon.METRICS, of_daemon) + metric.families(_OF_PROBES, of_probes)
