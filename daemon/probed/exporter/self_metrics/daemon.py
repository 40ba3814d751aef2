# SPDX-License-Identifier: Apache-2.0
"""Self metrics of the daemon as a whole, and the numbers behind them.

Nothing here counts: the counters live where the events happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from probed.exporter.self_metrics.metric import ProcessStarts, Samples, SelfMetric
from probed.frozen import frozen
from probed.ipc.evidence_messages import EvidenceReport
from probed.ipc.exporter_messages import Status, WebStatus

_UNKNOWN = Status(probes=(), bcc_version="", reload_successful=False, reload_success_time=0.0, exporter_restarts=0)
"""Before the supervisor's first status."""


@frozen
class Build:
    """Versions as text; `bcc` is empty before the loader has run."""

    version: str
    python: str
    bcc: str
    kernel: str


@frozen
class WorkStats:
    """Drains of all rings and collections of all probes, with the seconds spent."""

    drains: int = 0
    drain_seconds: float = 0.0
    collections: int = 0
    collection_seconds: float = 0.0


@frozen
class DaemonStats:
    """The daemon's numbers of one scrape; `status` is None before the supervisor's first status."""

    build: Build
    status: Status | None
    work: WorkStats
    supervisor_resident_bytes: int
    unknown_cgroups: int = 0
    starts: ProcessStarts = field(default_factory=ProcessStarts)
    evidence: EvidenceReport = field(default_factory=EvidenceReport)

    @property
    def known_status(self) -> Status:
        """The supervisor's status, or zeros."""
        return self.status or _UNKNOWN


def _single(read: Callable[[DaemonStats], float]) -> Callable[[DaemonStats], Samples]:
    return lambda stats: {(): read(stats)}


def _web(read: Callable[[WebStatus], float]) -> Callable[[DaemonStats], Samples | None]:
    """Read from the web configuration's status; without a web configuration there is no family."""
    return lambda stats: None if (web := stats.known_status.web) is None else {(): read(web)}


def _exporter_start(stats: DaemonStats, _: tuple[str, ...]) -> float:
    return stats.starts.exporter


def _supervisor_start(stats: DaemonStats, _: tuple[str, ...]) -> float:
    return stats.starts.supervisor


def _build_info(stats: DaemonStats) -> Samples:
    build = stats.build
    return {(build.version, build.python, build.bcc, build.kernel): 1}


METRICS: tuple[SelfMetric[DaemonStats], ...] = (
    SelfMetric(
        "probed_build_info", "gauge", ("version", "python", "bcc", "kernel"), "always 1",
        "Versions of probed, Python, BCC and the kernel, always 1.", "an upgrade", _build_info,
    ),
    SelfMetric(
        "probed_drains_total", "counter", (), "drains",
        "Drains of all rings, including those at a scrape.", "each fill mark and each scrape",
        _single(lambda stats: stats.work.drains), _exporter_start,
    ),
    SelfMetric(
        "probed_drain_seconds_total", "counter", (), "seconds",
        "Time spent in drains in seconds.", "each drain",
        _single(lambda stats: stats.work.drain_seconds), _exporter_start,
    ),
    SelfMetric(
        "probed_collections_total", "counter", (), "collections",
        "Collections of all probes, one at each scrape.", "each scrape",
        _single(lambda stats: stats.work.collections), _exporter_start,
    ),
    SelfMetric(
        "probed_collection_seconds_total", "counter", (), "seconds",
        "Time spent in collections, after their drains, in seconds.", "each scrape",
        _single(lambda stats: stats.work.collection_seconds), _exporter_start,
    ),
    SelfMetric(
        "probed_config_last_reload_successful", "gauge", (), "0 or 1",
        "Whether the last attempt to read the configuration succeeded.", "each start and reload",
        _single(lambda stats: int(stats.known_status.reload_successful)),
    ),
    SelfMetric(
        "probed_config_last_reload_success_timestamp_seconds", "gauge", (), "seconds since the epoch",
        "Time of the last successful reading of the configuration since unix epoch in seconds.",
        "each successful start and reload",
        _single(lambda stats: stats.known_status.reload_success_time),
    ),
    SelfMetric(
        "probed_web_config_last_reload_successful", "gauge", (), "0 or 1",
        "Whether the last attempt to read the web configuration and its certificates succeeded.",
        "each reload of the web configuration; no family without one",
        _web(lambda web: int(web.successful)),
    ),
    SelfMetric(
        "probed_web_config_last_reload_success_timestamp_seconds", "gauge", (), "seconds since the epoch",
        "Time of the last successful reading of the web configuration since unix epoch in seconds.",
        "each successful reload of the web configuration; no family without one",
        _web(lambda web: web.success_time),
    ),
    SelfMetric(
        "probed_exporter_restarts_total", "counter", (), "restarts",
        "Exporter processes that ended unexpectedly and were restarted.", "the end of an exporter process",
        _single(lambda stats: stats.known_status.exporter_restarts), _supervisor_start,
    ),
    SelfMetric(
        "probed_evidence_samples_total", "counter", (), "samples",
        "Samples of storms that were taken for the log.", "the end of a sample",
        _single(lambda stats: stats.evidence.samples), _supervisor_start,
    ),
    SelfMetric(
        "probed_evidence_rows_total", "counter", (), "rows",
        "Rows of samples in the log.", "the end of a sample",
        _single(lambda stats: stats.evidence.rows), _supervisor_start,
    ),
    SelfMetric(
        "probed_evidence_failures_total", "counter", (), "samples",
        "Samples of storms that failed; the log has the reasons.", "a failed sample",
        _single(lambda stats: stats.evidence.failures), _supervisor_start,
    ),
    SelfMetric(
        "probed_evidence_suppressed_total", "counter", ("reason",), "requests",
        "Requests for a sample that a limit refused: busy, unit or units.",
        "each storm of which a sample is being taken (`busy`), was taken (`unit`), or exceeds the number (`units`)",
        lambda stats: {(reason,): count for reason, count in stats.evidence.suppressed.items()}, _supervisor_start,
    ),
    SelfMetric(
        "probed_supervisor_resident_memory_bytes", "gauge", (), "bytes",
        "Resident memory of the supervisor process in bytes.", "each scrape",
        _single(lambda stats: stats.supervisor_resident_bytes),
    ),
    SelfMetric(
        "probed_unknown_cgroups_total", "counter", (), "label sets",
        "New label sets whose control group had no known name, neither announced nor in the tree.",
        "a new label set with `unit` = `unknown`",
        _single(lambda stats: stats.unknown_cgroups), _exporter_start,
    ),
)  # fmt: skip
