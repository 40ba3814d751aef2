# SPDX-License-Identifier: Apache-2.0
"""The `process_*` metrics, as in every client library of Prometheus.

The exporter's main makes a `Process`; the collector asks for its families at each scrape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics.metric import ProcessStarts, Samples, SelfMetric, families

_START_TIME = "process_start_time_seconds"
_OWN_START = "start of this process"

Readings = Mapping[str, float]
"""The values of prometheus_client's ProcessCollector, by name."""


def _reading(name: str) -> Callable[[Readings], Samples | None]:
    """Read one value; the page has no family for a value that the collector could not read."""
    return lambda readings: {(): readings[name]} if name in readings else None


METRICS: tuple[SelfMetric[Readings], ...] = (
    SelfMetric(
        "process_virtual_memory_bytes", "gauge", (), "bytes",
        "Virtual memory size of the exporter in bytes.", "each scrape",
        _reading("process_virtual_memory_bytes"),
    ),
    SelfMetric(
        "process_resident_memory_bytes", "gauge", (), "bytes",
        "Resident memory of the exporter in bytes.", "each scrape",
        _reading("process_resident_memory_bytes"),
    ),
    SelfMetric(
        _START_TIME, "gauge", (), "seconds since the epoch",
        "Time from which the daemon's counters count since unix epoch in seconds.", "a start of the daemon",
        _reading(_START_TIME),
    ),
    SelfMetric(
        "process_cpu_seconds_total", "counter", (), "seconds",
        "CPU time of the exporter, user and system, in seconds.", "each scrape; a new exporter starts from 0",
        _reading("process_cpu_seconds_total"), lambda readings, _: readings.get(_OWN_START, 0.0),
    ),
    SelfMetric(
        "process_open_fds", "gauge", (), "descriptors",
        "Open file descriptors of the exporter.", "each scrape",
        _reading("process_open_fds"),
    ),
    SelfMetric(
        "process_max_fds", "gauge", (), "descriptors",
        "Most open file descriptors of the exporter.", "a start of the daemon",
        _reading("process_max_fds"),
    ),
)  # fmt: skip


class Process:
    """The `process_*` families of this process, read by prometheus_client's ProcessCollector, except the start time.

    Collectors take `process_start_time_seconds` as the time from which all counters of the page count. The counters
    outlive this process, so the value is the daemon's start time. CPU time is this process's own and falls when
    another exporter takes over: a counter reset, as rate() expects.

    The values stay readable after a change of uid and without the dumpable flag, when /proc/self belongs to root:
    `stat` and `limits` are readable by all, and `fd` by the process itself (Linux fs/proc/fd.c, proc_fd_permission).
    """

    def __init__(self, start_time: float, supervisor_start: float = 0.0, proc: str = "/proc") -> None:
        """Read from the procfs at `proc`; the daemon's counters count from `start_time`.

        `supervisor_start` is the start of the supervisor that runs now.
        """
        self._start_time = start_time
        self.starts = ProcessStarts(time.time(), supervisor_start)
        self._registry = CollectorRegistry()
        _ProcessCollector(proc=proc, registry=self._registry)

    def families(self) -> list[Family]:
        """Return CPU time, memory, start time, open and allowed file descriptors of this moment."""
        samples = (sample for metric in self._registry.collect() for sample in metric.samples)
        readings = {sample.name: sample.value for sample in samples}
        own = readings.get(_START_TIME, 0.0)
        return families(METRICS, readings | {_START_TIME: self._start_time, _OWN_START: own})


class _ProcessCollector(ProcessCollector):
    """Takes the time of boot from the clock.

    systemd's ProcSubset=pid hides /proc/stat, without which prometheus_client's collector returns nothing.
    """

    def _boot_time(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
