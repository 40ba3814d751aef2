# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells about itself: its own metric families, made from plain numbers.

`collection` calls it at every scrape. It counts nothing and keeps nothing: counters live where things happen.
Names follow https://prometheus.io/docs/practices/naming/ and /docs/instrumenting/writing_exporters/.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from probed.errors import REASONS
from probed.exporter import hashes, programs
from probed.exporter.family import Family, FamilyType
from probed.exporter.hashes import HashUsage
from probed.exporter.programs import Program
from probed.exporter.series import SeriesUsage
from probed.manifest import ProbeStatus, Status, WebStatus

_UNKNOWN = Status(probes=(), bcc_version="", reload_successful=False, reload_success_time=0.0, exporter_restarts=0)
"""Before the supervisor has said anything."""


LOSS_REASONS = ("ring_full", "map_full", "corrupt")
"""Why an event is missing from the metrics: a closed set, the values of the label `reason`."""


@dataclass(frozen=True, slots=True)
class Build:
    """What runs here: versions as text, `bcc` empty where it is not known."""

    version: str
    python: str
    bcc: str
    kernel: str


@dataclass(frozen=True, slots=True)
class ProbeNumbers:
    """Sums of one probe since it was loaded, in events: emitted = delivered + lost + discarded.

    `lost` is by reason, one of `LOSS_REASONS`; a reason that is not in it stands for 0.
    `ring_bytes` is the ring's capacity (0: no ring), `ring_fill_bytes` what the last drain found waiting.
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
    usages: Sequence[SeriesUsage] = ()
    missed: Mapping[str, int] = field(default_factory=dict)
    programs: Sequence[Program] = ()
    hooks: Sequence[Program] = ()
    hashes: Sequence[HashUsage] = ()


def families(
    build: Build,
    status: Status | None,
    numbers: Sequence[ProbeNumbers],
    drains: int,
    supervisor_resident_bytes: int,
) -> list[Family]:
    """Give the daemon's own families but those of `Process`.

    A probe of `status` without `numbers` (it is not up) has all its series at 0; numbers of a probe that
    `status` does not name (it was just removed) are left out. `status` is None before the supervisor has
    sent one.
    """
    status = status or _UNKNOWN
    known = {probe.name: probe for probe in numbers}
    of_probes = [known.get(probe.name, ProbeNumbers(probe.name)) for probe in status.probes]
    return [
        _build_info(build),
        *_states(status.probes),
        *_events(of_probes),
        _missed_runs(of_probes),
        *_rings(of_probes),
        *_series([usage for probe in of_probes for usage in probe.usages]),
        *programs.families(
            [(probe.name, program) for probe in of_probes for program in probe.programs],
            [hook for probe in of_probes for hook in probe.hooks],
        ),
        *hashes.families([(probe.name, usage) for probe in of_probes for usage in probe.hashes]),
        _one("counter", "probed_drains_total", "Drains of all rings, those at a scrape included.", drains),
        *_configuration(status),
        *_web_configuration(status.web),
        _one(
            "counter",
            "probed_exporter_restarts_total",
            "Exporter processes that ended unasked and were started again.",
            status.exporter_restarts,
        ),
        _one(
            "gauge",
            "probed_supervisor_resident_memory_bytes",
            "Resident memory of the supervisor process in bytes.",
            supervisor_resident_bytes,
        ),
    ]


def unknown_cgroups(count: int) -> Family:
    """Return how many new label sets had a cgroup id that nothing knew: their `unit` is `unknown`."""
    text = "New label sets whose control group had no name, neither announced nor in the tree."
    return _one("counter", "probed_unknown_cgroups_total", text, count)


def collect_failures(status: Status | None, failures: Mapping[str, int]) -> Family:
    """Return how often each probe's metrics could not be collected, by name; 0 where nothing is said."""
    names = [probe.name for probe in status.probes] if status else []
    return _by_probe(
        "counter",
        "probed_probe_collect_failures_total",
        "Scrapes that had to leave out the probe's metrics; the log says why.",
        names,
        [failures.get(name, 0) for name in names],
    )


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
        return _one("counter", sample.name, metric.documentation, sample.value)
    return _one("gauge", sample.name, metric.documentation, sample.value)


def _build_info(build: Build) -> Family:
    return Family(
        name="probed_build_info",
        type="gauge",
        help="Versions of probed and of what it runs on, always 1.",
        label_names=("version", "python", "bcc", "kernel"),
        labels=[(build.version, build.python, build.bcc, build.kernel)],
        values=np.ones(1, np.uint64),
    )


def _states(probes: Sequence[ProbeStatus]) -> list[Family]:
    return [
        _by_probe(
            "gauge",
            "probed_probe_up",
            "Whether the probe is loaded and attached.",
            [probe.name for probe in probes],
            [int(probe.up) for probe in probes],
        ),
        Family(
            name="probed_probe_load_failures_total",
            type="counter",
            help="Failed attempts to load the probe, by reason.",
            label_names=("probe", "reason"),
            labels=[(probe.name, reason) for probe in probes for reason in REASONS],
            values=np.array([probe.failures.get(reason, 0) for probe in probes for reason in REASONS], np.uint64),
        ),
    ]


def _events(probes: Sequence[ProbeNumbers]) -> list[Family]:
    names = [probe.name for probe in probes]
    return [
        _by_probe(
            "counter",
            "probed_events_emitted_total",
            "Events that the probe's programs had to report: delivered, lost and discarded ones.",
            names,
            [probe.emitted for probe in probes],
        ),
        _by_probe(
            "counter",
            "probed_events_delivered_total",
            "Events that reached the probe's metrics.",
            names,
            [probe.delivered for probe in probes],
        ),
        Family(
            name="probed_events_lost_total",
            type="counter",
            help="Events that are missing from the probe's metrics, by reason.",
            label_names=("probe", "reason"),
            labels=[(probe.name, reason) for probe in probes for reason in LOSS_REASONS],
            values=np.array([probe.lost.get(reason, 0) for probe in probes for reason in LOSS_REASONS], np.uint64),
        ),
        _by_probe(
            "counter",
            "probed_events_discarded_total",
            "Events that the probe's programs took back after reserving room for them.",
            names,
            [probe.discarded for probe in probes],
        ),
    ]


def _missed_runs(probes: Sequence[ProbeNumbers]) -> Family:
    missed = {(probe.name, program): runs for probe in probes for program, runs in probe.missed.items()}
    return Family(
        name="probed_probe_missed_runs_total",
        type="counter",
        help="Runs of the probe's program that the kernel left out, since it was in the midst of one on that CPU.",
        label_names=("probe", "program"),
        labels=list(missed),
        values=np.array(list(missed.values()), np.uint64),
    )


def _rings(probes: Sequence[ProbeNumbers]) -> list[Family]:
    probes = [probe for probe in probes if probe.ring_bytes]
    names = [probe.name for probe in probes]
    return [
        _by_probe(
            "gauge",
            "probed_ring_bytes",
            "Capacity of the probe's ring buffer in bytes.",
            names,
            [probe.ring_bytes for probe in probes],
        ),
        _by_probe(
            "gauge",
            "probed_ring_fill_bytes",
            "Bytes that this scrape found waiting in the probe's ring buffer.",
            names,
            [probe.ring_fill_bytes for probe in probes],
        ),
    ]


def _series(usages: Sequence[SeriesUsage]) -> list[Family]:
    return [
        _by_metric(
            "gauge",
            "probed_series",
            "Series of the metric on this page, the one that counts the rest included.",
            usages,
            [usage.series for usage in usages],
        ),
        _by_metric(
            "gauge",
            "probed_series_budget",
            "Series that the metric may have at most.",
            usages,
            [usage.budget for usage in usages],
        ),
        _by_metric(
            "counter",
            "probed_series_overflowed_total",
            "Events that had no series of their own and were counted where every label value is 'other'.",
            usages,
            [usage.overflowed for usage in usages],
        ),
    ]


def _configuration(status: Status) -> list[Family]:
    return [
        _one(
            "gauge",
            "probed_config_last_reload_successful",
            "Whether the last attempt to read the configuration succeeded.",
            int(status.reload_successful),
        ),
        _one(
            "gauge",
            "probed_config_last_reload_success_timestamp_seconds",
            "Time of the last successful reading of the configuration since unix epoch in seconds.",
            status.reload_success_time,
        ),
    ]


def _web_configuration(web: WebStatus | None) -> list[Family]:
    if web is None:
        return []
    return [
        _one(
            "gauge",
            "probed_web_config_last_reload_successful",
            "Whether the last attempt to read the web configuration and its certificates succeeded.",
            int(web.successful),
        ),
        _one(
            "gauge",
            "probed_web_config_last_reload_success_timestamp_seconds",
            "Time of the last successful reading of the web configuration since unix epoch in seconds.",
            web.success_time,
        ),
    ]


def http(responses: Mapping[int, int], clients: int, dropped: int) -> list[Family]:
    """Give what the HTTP server tells of itself: responses by status, clients now, clients that had to make room."""
    return [
        Family(
            name="probed_http_responses_total",
            type="counter",
            help="Responses by HTTP status.",
            label_names=("code",),
            labels=[(str(code),) for code in responses],
            values=np.array(list(responses.values()), np.uint64),
        ),
        _one("gauge", "probed_http_clients", "Connections of clients.", clients),
        _one(
            "counter",
            "probed_http_clients_dropped_total",
            "Connections that were closed to make room for others, or because their answers were not taken.",
            dropped,
        ),
    ]


def _by_probe(kind: FamilyType, name: str, text: str, probes: Sequence[str], values: list[int]) -> Family:
    labels = [(probe,) for probe in probes]
    return Family(name, kind, text, ("probe",), labels, np.array(values, np.uint64))


def _by_metric(kind: FamilyType, name: str, text: str, usages: Sequence[SeriesUsage], values: list[int]) -> Family:
    labels = [(usage.metric_name,) for usage in usages]
    return Family(name, kind, text, ("metric",), labels, np.array(values, np.uint64))


def _one(kind: FamilyType, name: str, text: str, value: float) -> Family:
    return Family(name, kind, text, (), [()], np.array([value]))
