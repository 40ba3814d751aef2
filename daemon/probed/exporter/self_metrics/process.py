# SPDX-License-Identifier: Apache-2.0
"""The `process_*` families, as every client library of Prometheus has them.

`serving` makes a `Process`, and `collection` asks it at the scrape.
"""

from __future__ import annotations

import time

from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from probed.exporter.exposition.family import Family, one


class Process:
    """The `process_*` families of this process, read by prometheus_client's ProcessCollector.

    They are there for another uid too, and for a process whose dumpable flag is gone, though /proc/self then
    belongs to root: `stat` and `limits` are readable by all, and `fd` by the process itself (Linux
    fs/proc/fd.c, proc_fd_permission).
    """

    def __init__(self, proc: str = "/proc") -> None:
        """Read from `proc`, where a procfs is mounted."""
        self._registry = CollectorRegistry()
        _ProcessCollector(proc=proc, registry=self._registry)

    def families(self) -> list[Family]:
        """Read them now: CPU time, memory, start time, open and allowed file descriptors."""
        return list(map(_family, self._registry.collect()))


class _ProcessCollector(ProcessCollector):
    """Takes the time of boot from the clock.

    systemd's ProcSubset=pid hides /proc/stat, where the original looks for it, and without which it gives
    nothing at all.
    """

    def _boot_time(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _family(metric: Metric) -> Family:
    (sample,) = metric.samples
    if metric.type == "counter":
        return one("counter", sample.name, metric.documentation, sample.value)
    return one("gauge", sample.name, metric.documentation, sample.value)
