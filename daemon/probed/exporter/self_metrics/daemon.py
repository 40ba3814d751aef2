# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells about itself: its own metric families, made from plain numbers.

`collection` calls it at every scrape. It counts nothing and keeps nothing: counters live where things happen.
Names follow https://prometheus.io/docs/practices/naming/ and /docs/instrumenting/writing_exporters/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probed.exporter.bpf import map_usage as hashes
from probed.exporter.bpf import program_stats as programs
from probed.exporter.exposition.family import Family, one
from probed.exporter.self_metrics import probes
from probed.exporter.self_metrics.stats import ProbeStats, WorkStats
from probed.ipc.manifest import Status, WebStatus

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
    numbers: Sequence[ProbeStats],
    work: WorkStats,
    supervisor_resident_bytes: int,
) -> list[Family]:
    """Give the daemon's own families but those of `Process`.

    A probe of `status` without `numbers` (it is not up) has all its series at 0; numbers of a probe that
    `status` does not name (it was just removed) are left out. `status` is None before the supervisor has
    sent one.
    """
    status = status or _UNKNOWN
    known = {probe.name: probe for probe in numbers}
    of_probes = [known.get(probe.name, ProbeStats(probe.name)) for probe in status.probes]
    return [
        _build_info(build),
        *probes.families(status.probes, of_probes),
        *programs.families(
            [(probe.name, program) for probe in of_probes for program in probe.programs],
            [hook for probe in of_probes for hook in probe.hooks],
        ),
        *hashes.families([(probe.name, usage) for probe in of_probes for usage in probe.hashes]),
        *_work(work),
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


def _build_info(build: Build) -> Family:
    return Family(
        name="probed_build_info",
        type="gauge",
        help="Versions of probed and of what it runs on, always 1.",
        label_names=("version", "python", "bcc", "kernel"),
        labels=[(build.version, build.python, build.bcc, build.kernel)],
        values=np.ones(1, np.uint64),
    )


def _work(work: WorkStats) -> list[Family]:
    return [
        one("counter", "probed_drains_total", "Drains of all rings, those at a scrape included.", work.drains),
        one("counter", "probed_drain_seconds_total", "Time that the drains took in seconds.", work.drain_seconds),
        one("counter", "probed_collections_total", "Collections of all probes, one at each scrape.", work.collections),
        one(
            "counter",
            "probed_collection_seconds_total",
            "Time that the collections took after their drains in seconds.",
            work.collection_seconds,
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
