# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells about itself: its own metric families, made from plain numbers.

`collection` calls it at every scrape. It counts nothing and keeps nothing: counters live where things happen.
Names follow https://prometheus.io/docs/practices/naming/ and /docs/instrumenting/writing_exporters/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probed.errors import REASONS
from probed.exporter.bpf import map_usage as hashes
from probed.exporter.bpf import program_stats as programs
from probed.exporter.exposition.family import Family, FamilyType, one
from probed.exporter.self_metrics.stats import LOSS_REASONS, ProbeNumbers
from probed.exporter.series.table import SeriesUsage
from probed.ipc.manifest import ProbeStatus, Status, WebStatus

_UNKNOWN = Status(probes=(), bcc_version="", reload_successful=False, reload_success_time=0.0, exporter_restarts=0)
"""Before the supervisor has said anything."""


@dataclass(frozen=True, slots=True)
class Build:
    """What runs here: versions as text, `bcc` empty where it is not known."""

    version: str
    python: str
    bcc: str
    kernel: str


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
        one("counter", "probed_drains_total", "Drains of all rings, those at a scrape included.", drains),
        *_configuration(status),
        *_web_configuration(status.web),
        one(
            "counter",
            "probed_exporter_restarts_total",
            "Exporter processes that ended unasked and were started again.",
            status.exporter_restarts,
        ),
        one(
            "gauge",
            "probed_supervisor_resident_memory_bytes",
            "Resident memory of the supervisor process in bytes.",
            supervisor_resident_bytes,
        ),
    ]


def unknown_cgroups(count: int) -> Family:
    """Return how many new label sets had a cgroup id that nothing knew: their `unit` is `unknown`."""
    text = "New label sets whose control group had no name, neither announced nor in the tree."
    return one("counter", "probed_unknown_cgroups_total", text, count)


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
        _by_metric(
            "counter",
            "probed_series_expired_total",
            "Events of series that have left the page, idle or replaced: on the page they are missing.",
            usages,
            [usage.expired for usage in usages],
        ),
    ]


def _configuration(status: Status) -> list[Family]:
    return [
        one(
            "gauge",
            "probed_config_last_reload_successful",
            "Whether the last attempt to read the configuration succeeded.",
            int(status.reload_successful),
        ),
        one(
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
        one(
            "gauge",
            "probed_web_config_last_reload_successful",
            "Whether the last attempt to read the web configuration and its certificates succeeded.",
            int(web.successful),
        ),
        one(
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
        one("gauge", "probed_http_clients", "Connections of clients.", clients),
        one(
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
