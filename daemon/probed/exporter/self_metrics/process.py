# SPDX-License-Identifier: Apache-2.0
"""The `process_*` families, as every client library of Prometheus has them.

`serving` makes a `Process`, and `collection` asks it at the scrape.
"""

from __future__ import annotations

import time

from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from probed.exporter.exposition.family import Family, FamilyType, one

_START_TIME = "process_start_time_seconds"
_START_TIME_HELP = "Time from which the daemon's counters count since unix epoch in seconds."


class Process:
    """The `process_*` families of this process, read by prometheus_client's ProcessCollector, but for the start time.

    Collectors take `process_start_time_seconds` for the time from which all counters of the page count. These outlive
    this process, so it is the daemon's. CPU time is this process's own and falls when another takes its place: that is
    a counter's reset, as rate() expects it.

    They are there for another uid too, and for a process whose dumpable flag is gone, though /proc/self then
    belongs to root: `stat` and `limits` are readable by all, and `fd` by the process itself (Linux
    fs/proc/fd.c, proc_fd_permission).
    """

    def __init__(self, start_time: float, proc: str = "/proc") -> None:
        """Read from `proc`, where a procfs is mounted; the daemon's counters count from `start_time`."""
        self._start_time = start_time
        self._registry = CollectorRegistry()
        _ProcessCollector(proc=proc, registry=self._registry)

    def families(self) -> list[Family]:
        """Read them now: CPU time, memory, start time, open and allowed file descriptors."""
        return list(map(self._family, self._registry.collect()))

    def _family(self, metric: Metric) -> Family:
        (sample,) = metric.samples
        if sample.name == _START_TIME:
            return one("gauge", _START_TIME, _START_TIME_HELP, self._start_time)
        kind: FamilyType = "counter" if metric.type == "counter" else "gauge"
        return one(kind, sample.name, metric.documentation, sample.value)


class _ProcessCollector(ProcessCollector):
    """Takes the time of boot from the clock.

    systemd's ProcSubset=pid hides /proc/stat, where the original looks for it, and without which it gives
    nothing at all.
    """

    def _boot_time(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
