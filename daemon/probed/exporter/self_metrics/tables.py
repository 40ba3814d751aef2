# SPDX-License-Identifier: Apache-2.0
"""All self metrics, in the order of the page: the collector's, the HTTP server's, and those of the process."""

from __future__ import annotations

from probed.exporter.self_metrics import daemon, http, maps, probes, process, programs
from probed.exporter.self_metrics.daemon import Snapshot
from probed.exporter.self_metrics.metric import AnyMetric, SelfMetric

OF_SNAPSHOT: tuple[SelfMetric[Snapshot], ...] = (
    *daemon.METRICS, *probes.METRICS, *programs.METRICS, *maps.METRICS,
)  # fmt: skip
"""The self metrics that read a Snapshot: all but those of the HTTP server and of the process."""

ALL: tuple[AnyMetric, ...] = (*OF_SNAPSHOT, *http.METRICS, *process.METRICS)
