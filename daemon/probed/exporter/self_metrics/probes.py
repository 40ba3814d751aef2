# SPDX-License-Identifier: Apache-2.0
"""Metric families about each probe: its state, its events, its ring, its series.

`self_metrics.daemon` and the collector call it at every scrape. It counts nothing and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from probed.errors import REASONS
from probed.exporter.exposition.family import Family, FamilyType
from probed.exporter.self_metrics.stats import LOSS_REASONS, ProbeStats
from probed.exporter.series.table import SeriesUsage
from probed.ipc.manifest import ProbeStatus, Status


def families(states: Sequence[ProbeStatus], probes: Sequence[ProbeStats]) -> list[Family]:
    """Return the families of all probes but `collect_failures`."""
    return [
        *_states(states),
        *_events(probes),
        _unaccounted(probes),
        _start_times(probes),
        _missed_runs(probes),
        *_rings(probes),
        *_series([usage for probe in probes for usage in probe.usages]),
    ]


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


def _events(probes: Sequence[ProbeStats]) -> list[Family]:
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


def _unaccounted(probes: Sequence[ProbeStats]) -> Family:
    return _by_probe(
        "gauge",
        "probed_events_unaccounted",
        "Events by which the count of the probe's programs and the records of its ring differ, always 0.",
        [probe.name for probe in probes],
        [probe.unaccounted for probe in probes],
    )


def _start_times(probes: Sequence[ProbeStats]) -> Family:
    counting = [probe for probe in probes if probe.start_time]
    return Family(
        name="probed_probe_start_time_seconds",
        type="gauge",
        help="Time from which the probe's metrics count since unix epoch in seconds.",
        label_names=("probe",),
        labels=[(probe.name,) for probe in counting],
        values=np.array([probe.start_time for probe in counting], np.float64),
    )


def _missed_runs(probes: Sequence[ProbeStats]) -> Family:
    missed = {(probe.name, program): runs for probe in probes for program, runs in probe.missed.items()}
    return Family(
        name="probed_probe_missed_runs_total",
        type="counter",
        help="Runs of the probe's program that the kernel left out, since it was in the midst of one on that CPU.",
        label_names=("probe", "program"),
        labels=list(missed),
        values=np.array(list(missed.values()), np.uint64),
    )


def _rings(probes: Sequence[ProbeStats]) -> list[Family]:
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
        _by_probe(
            "gauge",
            "probed_ring_fill_max_bytes",
            "Most bytes that waited in the probe's ring buffer in the last five minutes.",
            names,
            [probe.ring_fill_max_bytes for probe in probes],
        ),
    ]


def _series(usages: Sequence[SeriesUsage]) -> list[Family]:
    return [
        _by_metric(
            "gauge",
            "probed_series",
            "Series of the metric on this page as Prometheus counts them, of a histogram those of all its buckets.",
            usages,
            [usage.series for usage in usages],
        ),
        _by_metric(
            "gauge",
            "probed_series_budget",
            "Series that the metric may have at most, counted in the same way.",
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


def _by_probe(kind: FamilyType, name: str, text: str, probes: Sequence[str], values: list[int]) -> Family:
    labels = [(probe,) for probe in probes]
    return Family(name, kind, text, ("probe",), labels, np.array(values, np.uint64))


def _by_metric(kind: FamilyType, name: str, text: str, usages: Sequence[SeriesUsage], values: list[int]) -> Family:
    labels = [(usage.metric_name,) for usage in usages]
    return Family(name, kind, text, ("metric",), labels, np.array(values, np.uint64))
