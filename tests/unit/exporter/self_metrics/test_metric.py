# SPDX-License-Identifier: Apache-2.0
"""Start timestamps of the self metrics: each counter has the start of the memory that holds the count."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from probed.exporter.exposition.family import Family
from probed.exporter.exposition.renderer import Page
from probed.exporter.http_server.server import ServerStats
from probed.exporter.self_metrics import http, metric
from probed.exporter.self_metrics.daemon import DaemonStats, WorkStats
from probed.exporter.self_metrics.metric import ProcessStarts
from probed.exporter.self_metrics.probes import ProbeSnapshot, ProbeStats
from probed.exporter.self_metrics.process import Process
from probed.exporter.self_metrics.tables import ALL, families
from probed.exporter.series.table import SeriesUsage
from probed.ipc.exporter_messages import ProbeStatus, Status
from support.unit.probe_stats import BUILD

SUPERVISOR, EXPORTER, SERVER = 1_700_000_001.5, 1_700_000_100.25, 1_700_000_100.5
EXECS, OPENS = 1_700_000_003.5, 1_700_000_050.75

WITHOUT_START = {"probed_program_runs_total", "probed_program_run_seconds_total"}
"""The kernel's own counts: the exporter does not know when a program was loaded."""


def stats(name: str, start: float) -> ProbeStats:
    usage = SeriesUsage(f"probed_{name}_total", series=1, budget=10, overflowed=0)
    return ProbeStats(name, ring_bytes=4096, start_time=start, usages=(usage,), missed={"on_event": 0})


def found() -> dict[str, Family]:
    """Return all families but those of the process, by name."""
    starts = ProcessStarts(EXPORTER, SUPERVISOR)
    states = tuple(ProbeStatus(name, "", name != "down", "", "", {}) for name in ("execs", "opens", "down"))
    status = Status(states, "0.26.0", True, 0.0, 0)
    probes = ProbeSnapshot(states, [stats("execs", EXECS), stats("opens", OPENS)], {}, starts)
    page = families(DaemonStats(BUILD, status, WorkStats(), 0, 0, starts), probes)
    page += metric.families(http.METRICS, ServerStats({200: 1}, 0, 0, SERVER))
    return {family.name: family for family in page}


def starts_of(family: Family) -> dict[tuple[str, ...], float]:
    assert family.starts is not None
    return dict(zip(family.labels, family.starts.tolist(), strict=True))


def test_every_counter_has_a_start_and_no_gauge_has() -> None:
    assert {each.name for each in ALL if each.type == "counter" and each.since is None} == WITHOUT_START
    assert [each.name for each in ALL if each.type == "gauge" and each.since is not None] == []


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("probed_drains_total", EXPORTER),
        ("probed_collection_seconds_total", EXPORTER),
        ("probed_unknown_cgroups_total", EXPORTER),
        ("probed_probe_collect_failures_total", EXPORTER),
        ("probed_exporter_restarts_total", SUPERVISOR),
        ("probed_probe_load_failures_total", SUPERVISOR),
        ("probed_http_responses_total", SERVER),
        ("probed_http_clients_dropped_total", SERVER),
    ],
)
def test_counts_of_a_process_begin_with_the_process(name: str, start: float) -> None:
    assert set(starts_of(found()[name]).values()) == {start}


@pytest.mark.parametrize("name", ["probed_events_emitted_total", "probed_notes_lost_total", "probed_events_lost_total"])
def test_counts_of_a_probe_begin_with_the_probe_and_are_unknown_while_down(name: str) -> None:
    assert {(labels[0], start) for labels, start in starts_of(found()[name]).items()} == {
        ("execs", EXECS), ("opens", OPENS), ("down", 0.0),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["probed_series_overflowed_total", "probed_series_expired_total"])
def test_counts_of_a_metric_begin_with_the_probe(name: str) -> None:
    assert starts_of(found()[name]) == {("probed_execs_total",): EXECS, ("probed_opens_total",): OPENS}


def test_the_cpu_time_begins_with_the_process() -> None:
    cpu = next(each for each in Process(1.0).families() if each.name == "process_cpu_seconds_total")
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert starts_of(cpu)[()] == pytest.approx(boot + ticks / os.sysconf("SC_CLK_TCK"), abs=1)


def test_a_page_has_the_starts_only_on_request() -> None:
    drains = found()["probed_drains_total"]
    text, asked = (Page().render([drains], openmetrics=True, created=created).decode() for created in (False, True))
    assert "_created" not in text
    assert "\nprobed_drains_created 1.70000010025e+09\n" in asked
