# SPDX-License-Identifier: Apache-2.0
"""Self metrics of each probe: its state, its events, its ring, its series; and the numbers behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from probed.errors import REASONS
from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.bpf.program_stats import ProgramStats
from probed.exporter.self_metrics.metric import ProcessStarts, Samples, SelfMetric
from probed.exporter.series.table import SeriesUsage
from probed.frozen import frozen
from probed.ipc.exporter_messages import ProbeStatus

LOSS_REASONS = ("ring_full", "map_full", "corrupt")
"""Why an event is missing from the metrics: a closed set, the values of the label `reason`."""


@frozen
class ProbeStats:
    """Numbers of one probe since its load, in events: emitted = delivered + lost + discarded.

    `lost` is by reason, one of `LOSS_REASONS`; a missing reason means 0. `ring_bytes` is the capacity of the ring
    (0: no ring), `ring_records` the number of records taken out, `ring_fill_bytes` the bytes found by the last drain,
    `ring_fill_max_bytes` the most of the last five minutes. `unaccounted` is the difference between the events counted
    by the programs and those that were found. `notes_lost` counts notes for later events that had no room in a map; the
    events are delivered. `start_time` is the start of the counters in seconds since the epoch (0: unknown). `map_bytes`
    is the kernel memory of ring and maps (0: unknown). `usages` has one element for each metric. `programs`, `hooks`
    (before the programs) and `hashes` (hash maps) are as the kernel reports them. `missed` has the runs that the kernel
    skipped, by program, and `cut_readings` the readings of iterators that ended early, likewise.
    """

    name: str
    emitted: int = 0
    delivered: int = 0
    discarded: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    ring_bytes: int = 0
    ring_records: int = 0
    ring_fill_bytes: int = 0
    ring_fill_max_bytes: int = 0
    unaccounted: int = 0
    notes_lost: int = 0
    start_time: float = 0.0
    map_bytes: int = 0
    usages: Sequence[SeriesUsage] = ()
    missed: Mapping[str, int] = field(default_factory=dict)
    programs: Sequence[ProgramStats] = ()
    hooks: Sequence[ProgramStats] = ()
    hashes: Sequence[HashUsage] = ()
    cut_readings: Mapping[str, int] = field(default_factory=dict)


class ProbeSnapshot:
    """The probes of the supervisor's status, the numbers of the running probes, and failed collections by name.

    `stats` are the numbers of each probe of the status. A probe that is down gets zeros, and numbers of other probes,
    which have just been removed, are left out.
    """

    def __init__(
        self,
        states: Sequence[ProbeStatus],
        running: Sequence[ProbeStats],
        collect_failures: Mapping[str, int] | None = None,
        starts: ProcessStarts | None = None,
    ) -> None:
        self.states = states
        self.running = running
        self.collect_failures = collect_failures or {}
        self.starts = starts or ProcessStarts()
        by_name = {probe.name: probe for probe in running}
        self.stats = [by_name.get(probe.name) or ProbeStats(probe.name) for probe in states]
        self.probe_starts = {probe.name: probe.start_time for probe in running}
        self.metric_starts = {usage.metric_name: probe.start_time for probe in running for usage in probe.usages}


def _by_probe(read: Callable[[ProbeStats], float | None]) -> Callable[[ProbeSnapshot], Samples]:
    """Read a number of each probe; a probe for which `read` returns None has no series."""
    return lambda probes: {(probe.name,): value for probe in probes.stats if (value := read(probe)) is not None}


def _by_metric(read: Callable[[SeriesUsage], float]) -> Callable[[ProbeSnapshot], Samples]:
    """Read a number of each metric of each probe."""
    return lambda probes: {(usage.metric_name,): read(usage) for probe in probes.stats for usage in probe.usages}


def _probe_start(probes: ProbeSnapshot, labels: tuple[str, ...]) -> float:
    """Return the start of the probe in the first label."""
    return probes.probe_starts.get(labels[0], 0.0)


def _metric_start(probes: ProbeSnapshot, labels: tuple[str, ...]) -> float:
    """Return the start of the probe whose metric is the first label."""
    return probes.metric_starts.get(labels[0], 0.0)


def _exporter_start(probes: ProbeSnapshot, _: tuple[str, ...]) -> float:
    return probes.starts.exporter


def _supervisor_start(probes: ProbeSnapshot, _: tuple[str, ...]) -> float:
    return probes.starts.supervisor


def _up(probes: ProbeSnapshot) -> Samples:
    return {(probe.name,): int(probe.up) for probe in probes.states}


def _info(probes: ProbeSnapshot) -> Samples:
    return {(probe.name, probe.loader): 1 for probe in probes.states if probe.loader}


def _load_failures(probes: ProbeSnapshot) -> Samples:
    return {(probe.name, reason): probe.failures.get(reason, 0) for probe in probes.states for reason in REASONS}


def _collect_failures(probes: ProbeSnapshot) -> Samples:
    return {(probe.name,): probes.collect_failures.get(probe.name, 0) for probe in probes.states}


def _lost(probes: ProbeSnapshot) -> Samples:
    return {(probe.name, reason): probe.lost.get(reason, 0) for probe in probes.stats for reason in LOSS_REASONS}


def _missed_runs(probes: ProbeSnapshot) -> Samples:
    return {(probe.name, program): runs for probe in probes.stats for program, runs in probe.missed.items()}


def _cut_readings(probes: ProbeSnapshot) -> Samples:
    return {(probe.name, program): cut for probe in probes.stats for program, cut in probe.cut_readings.items()}


METRICS: tuple[SelfMetric[ProbeSnapshot], ...] = (
    SelfMetric(
        "probed_probe_up", "gauge", ("probe",), "0 or 1",
        "Whether the probe is loaded, attached and served.", "a load, a failed load, a reload", _up,
    ),
    SelfMetric(
        "probed_probe_info", "gauge", ("probe", "loader"), "always 1",
        "Running probes by loader: bcc compiled the source, core loaded the object; always 1.",
        "a load of the probe", _info,
    ),
    SelfMetric(
        "probed_probe_load_failures_total", "counter", ("probe", "reason"), "attempts",
        "Failed attempts to load the probe, by reason.", "a failed load", _load_failures, _supervisor_start,
    ),
    SelfMetric(
        "probed_probe_collect_failures_total", "counter", ("probe",), "failures",
        "Failed drains and collections of the probe, and scrapes without its metrics; the log says why.",
        "an error while the exporter reads the probe's ring or maps", _collect_failures, _exporter_start,
    ),
    SelfMetric(
        "probed_events_emitted_total", "counter", ("probe",), "events",
        "Events of the probe's programs: delivered, lost and discarded.", "each drain",
        _by_probe(lambda probe: probe.emitted), _probe_start,
    ),
    SelfMetric(
        "probed_events_delivered_total", "counter", ("probe",), "events",
        "Events that reached the probe's metrics.", "each drain",
        _by_probe(lambda probe: probe.delivered), _probe_start,
    ),
    SelfMetric(
        "probed_events_lost_total", "counter", ("probe", "reason"), "events",
        "Events that are missing from the probe's metrics, by reason.", "a full ring, a full map, a corrupt record",
        _lost, _probe_start,
    ),
    SelfMetric(
        "probed_events_discarded_total", "counter", ("probe",), "events",
        "Events that the probe's programs discarded after reserving room in the ring.", "each drain",
        _by_probe(lambda probe: probe.discarded), _probe_start,
    ),
    SelfMetric(
        "probed_events_unaccounted", "gauge", ("probe",), "events",
        "Difference between the events that the probe's programs counted and the records of its ring; always 0.",
        "a bug of probed or of the kernel",
        _by_probe(lambda probe: probe.unaccounted),
    ),
    SelfMetric(
        "probed_notes_lost_total", "counter", ("probe",), "notes",
        "Notes for a later event that had no room in a map; the event then lacks detail, or an end counts twice.",
        "more living processes than the map has entries, or than the service's limit of memory permits",
        _by_probe(lambda probe: probe.notes_lost), _probe_start,
    ),
    SelfMetric(
        "probed_probe_start_time_seconds", "gauge", ("probe",), "seconds since the epoch",
        "Time from which the probe's metrics count since unix epoch in seconds.", "a load of the probe",
        _by_probe(lambda probe: probe.start_time or None),
    ),
    SelfMetric(
        "probed_probe_missed_runs_total", "counter", ("probe", "program"), "runs",
        "Runs of the probe's program that the kernel skipped, since the hook was already running on that CPU.",
        "a hook that fires while a program runs on the same CPU", _missed_runs, _probe_start,
    ),
    SelfMetric(
        "probed_probe_cut_readings_total", "counter", ("probe", "program"), "readings",
        "Readings of an iterator that ended before the last object; the gauges of that page lack the rest.",
        "a scrape that finds more than 8 MiB of rows, or 32 KiB of control groups", _cut_readings, _probe_start,
    ),
    SelfMetric(
        "probed_probe_map_memory_bytes", "gauge", ("probe",), "bytes",
        "Kernel memory of the probe's ring and maps in bytes, without entries that they allocate on demand.",
        "a load of the probe",
        _by_probe(lambda probe: probe.map_bytes or None),
    ),
    SelfMetric(
        "probed_ring_bytes", "gauge", ("probe",), "bytes",
        "Capacity of the probe's ring buffer in bytes.", "a load of the probe",
        _by_probe(lambda probe: probe.ring_bytes or None),
    ),
    SelfMetric(
        "probed_ring_records_total", "counter", ("probe",), "records",
        "Records that the exporter took out of the probe's ring buffer; one record can stand for many events.",
        "each drain",
        _by_probe(lambda probe: probe.ring_records if probe.ring_bytes else None), _probe_start,
    ),
    SelfMetric(
        "probed_ring_fill_bytes", "gauge", ("probe",), "bytes",
        "Bytes that waited in the probe's ring buffer at this scrape.", "each scrape",
        _by_probe(lambda probe: probe.ring_fill_bytes if probe.ring_bytes else None),
    ),
    SelfMetric(
        "probed_ring_fill_max_bytes", "gauge", ("probe",), "bytes",
        "Most bytes that waited in the probe's ring buffer in the last five minutes.", "each drain",
        _by_probe(lambda probe: probe.ring_fill_max_bytes if probe.ring_bytes else None),
    ),
    SelfMetric(
        "probed_series", "gauge", ("metric",), "series",
        "Series of the metric on this page as Prometheus counts them: a histogram has one for each bucket.",
        "a new label set, an idle one that leaves",
        _by_metric(lambda usage: usage.series),
    ),
    SelfMetric(
        "probed_series_budget", "gauge", ("metric",), "series",
        "Most series of the metric, counted in the same way.", "a reload",
        _by_metric(lambda usage: usage.budget),
    ),
    SelfMetric(
        "probed_series_overflowed_total", "counter", ("metric",), "events",
        "Events without a series of their own, counted where every label value is 'other'.",
        "an event of a label set above the budget, or without room in ring and maps",
        _by_metric(lambda usage: usage.overflowed), _metric_start,
    ),
    SelfMetric(
        "probed_series_expired_total", "counter", ("metric",), "events",
        "Events of series that have left the page, idle or replaced; the page no longer includes them.",
        "a series that leaves the page",
        _by_metric(lambda usage: usage.expired), _metric_start,
    ),
)  # fmt: skip
