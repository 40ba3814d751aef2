# SPDX-License-Identifier: Apache-2.0
"""Self metrics: complete from the first scrape, and by the conventions of Prometheus."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from probed.config.declaration.scalars import OWN_METRIC_PREFIXES
from probed.errors import REASONS
from probed.exporter.exposition.family import Family
from probed.exporter.exposition.renderer import Page
from probed.exporter.self_metrics.daemon import DaemonStats, WorkStats
from probed.exporter.self_metrics.probes import LOSS_REASONS, ProbeSnapshot, ProbeStats
from probed.exporter.self_metrics.process import Process
from probed.exporter.self_metrics.tables import ALL, families
from probed.exporter.series.table import SeriesUsage
from probed.ipc.evidence_messages import EvidenceReport
from probed.ipc.exporter_messages import ProbeStatus, Status, WebStatus
from support.unit.probe_stats import BUILD, series

UP = ProbeStatus("process", "Processes.", True, "", "", {})
DOWN = ProbeStatus("opens", "Opens.", False, "verifier", "R1 invalid", {"verifier": 3})
STATUS = Status(
    probes=(UP, DOWN),
    bcc_version="0.26.0",
    reload_successful=True,
    reload_success_time=1_700_000_000.25,
    exporter_restarts=2,
)
NUMBERS = ProbeStats(
    "process",
    emitted=110,
    delivered=100,
    discarded=2,
    lost={"ring_full": 8},
    ring_bytes=1 << 20,
    ring_fill_bytes=640,
    ring_fill_max_bytes=4160,
    unaccounted=3,
    start_time=1_700_000_003.5,
    usages=(
        SeriesUsage("probed_execs_total", series=1000, budget=1000, overflowed=23, expired=29),
        SeriesUsage("probed_forks_total", series=1, budget=1000, overflowed=0),
    ),
    missed={"on_exec": 0, "on_exit": 3},
    cut_readings={"each_task": 2},
)
PROCESS_FAMILIES = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}


EVIDENCE = EvidenceReport(samples=3, rows=150, failures=1, suppressed={"busy": 2, "unit": 17, "units": 0})


def _all() -> list[Family]:
    daemon = DaemonStats(BUILD, STATUS, WorkStats(7, 0.25, 5, 0.125), 12 << 20, 17, evidence=EVIDENCE)
    return families(daemon, ProbeSnapshot(STATUS.probes, [NUMBERS], {"opens": 13}))


def test_every_reason_of_every_probe_is_there_from_the_start() -> None:
    failures = series(_all(), "probed_probe_load_failures_total")
    assert failures == {
        (probe, reason): 3 if (probe, reason) == ("opens", "verifier") else 0
        for probe in ("process", "opens")
        for reason in REASONS
    }


def test_every_loss_reason_of_every_probe_is_there_from_the_start() -> None:
    lost = series(_all(), "probed_events_lost_total")
    assert set(lost) == {(probe, reason) for probe in ("process", "opens") for reason in LOSS_REASONS}
    assert sum(lost.values()) == lost["process", "ring_full"] == 8


def test_runs_that_the_kernel_left_out_are_there_by_program() -> None:
    missed = series(_all(), "probed_probe_missed_runs_total")
    assert missed == {("process", "on_exec"): 0, ("process", "on_exit"): 3}
    assert series(_all(), "probed_probe_cut_readings_total") == {("process", "each_task"): 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("probed_events_emitted_total", 110),
        ("probed_events_delivered_total", 100),
        ("probed_events_discarded_total", 2),
        ("probed_events_unaccounted", 3),
    ],
)
def test_a_probe_that_is_down_has_its_sums_at_zero(name: str, value: int) -> None:
    assert series(_all(), name) == {("process",): value, ("opens",): 0}


def test_only_probes_with_a_ring_have_its_size_and_fill() -> None:
    assert series(_all(), "probed_ring_bytes") == {("process",): 1 << 20}
    assert series(_all(), "probed_ring_fill_bytes") == {("process",): 640}
    assert series(_all(), "probed_ring_fill_max_bytes") == {("process",): 4160}


def test_only_probes_that_are_up_have_a_start_time() -> None:
    assert series(_all(), "probed_probe_start_time_seconds") == {("process",): 1_700_000_003.5}


def test_every_metric_shows_how_much_of_its_budget_it_uses() -> None:
    assert series(_all(), "probed_series") == {("probed_execs_total",): 1000, ("probed_forks_total",): 1}
    assert series(_all(), "probed_series_budget") == {("probed_execs_total",): 1000, ("probed_forks_total",): 1000}
    expired = series(_all(), "probed_series_expired_total")
    assert expired == {("probed_execs_total",): 29, ("probed_forks_total",): 0}
    overflowed = series(_all(), "probed_series_overflowed_total")
    assert overflowed == {("probed_execs_total",): 23, ("probed_forks_total",): 0}


def test_suppressed_evidence_is_there_by_reason() -> None:
    suppressed = series(_all(), "probed_evidence_suppressed_total")
    assert suppressed == {("busy",): 2, ("unit",): 17, ("units",): 0}


def test_states_are_one_and_zero() -> None:
    assert series(_all(), "probed_probe_up") == {("process",): 1, ("opens",): 0}


def test_the_daemon_as_a_whole_has_its_numbers() -> None:
    whole = {f.name: f.values.tolist() for f in _all() if not f.label_names}
    assert whole == {
        "probed_drains_total": [7],
        "probed_drain_seconds_total": [0.25],
        "probed_evidence_samples_total": [3],
        "probed_evidence_rows_total": [150],
        "probed_evidence_failures_total": [1],
        "probed_collections_total": [5],
        "probed_collection_seconds_total": [0.125],
        "probed_config_last_reload_successful": [1],
        "probed_config_last_reload_success_timestamp_seconds": [1_700_000_000.25],
        "probed_exporter_restarts_total": [2],
        "probed_supervisor_resident_memory_bytes": [12 << 20],
        "probed_unknown_cgroups_total": [17],
    }


def test_versions_are_labels_of_build_info() -> None:
    assert series(_all(), "probed_build_info") == {("0.1.0", "3.11.2", "0.26.0", "6.18.0"): 1}


def test_before_the_supervisor_spoke_the_same_families_are_there() -> None:
    early = families(DaemonStats(BUILD, None, WorkStats(), 0), ProbeSnapshot((), []))
    assert [f.name for f in early] == [f.name for f in _all()]
    assert series(early, "probed_config_last_reload_successful") == {(): 0}


def test_numbers_of_a_removed_probe_are_left_out() -> None:
    found = families(DaemonStats(BUILD, STATUS, WorkStats(), 0), ProbeSnapshot((), [NUMBERS]))
    assert series(found, "probed_ring_bytes") == {}


def test_collect_failures_are_there_by_probe() -> None:
    assert series(_all(), "probed_probe_collect_failures_total") == {("process",): 0, ("opens",): 13}


def test_only_a_web_configuration_has_its_families() -> None:
    names = {family.name for family in _all()}
    status = replace(STATUS, web=WebStatus(True, 1_700_000_005.25))
    found = families(DaemonStats(BUILD, status, WorkStats(), 0), ProbeSnapshot(status.probes, []))
    assert {family.name for family in found} - names == {
        "probed_web_config_last_reload_successful",
        "probed_web_config_last_reload_success_timestamp_seconds",
    }
    assert series(found, "probed_web_config_last_reload_success_timestamp_seconds") == {(): 1_700_000_005.25}


def test_the_process_families_are_those_of_prometheus_client() -> None:
    own = Process(1_700_000_011.5).families()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    theirs = {metric.samples[0].name: metric for metric in registry.collect()}
    assert {f.name for f in own} == PROCESS_FAMILIES == set(theirs)
    assert all(f.type == theirs[f.name].type for f in own)
    assert series(own, "process_max_fds") == {(): theirs["process_max_fds"].samples[0].value}


def test_the_start_time_is_that_of_the_counters_and_not_of_this_process() -> None:
    assert series(Process(1_700_000_011.5).families(), "process_start_time_seconds") == {(): 1_700_000_011.5}


def test_a_hidden_proc_stat_costs_no_process_family(tmp_path: Path) -> None:
    own = tmp_path / "self"
    (own / "fd").mkdir(parents=True)
    (own / "fd" / "0").touch()
    for name in "stat", "limits":
        shutil.copyfile(f"/proc/self/{name}", own / name)
    found = Process(1.0, proc=str(tmp_path)).families()
    assert {f.name for f in found} == PROCESS_FAMILIES
    assert series(found, "process_open_fds") == {(): 1}


AS_ANOTHER_USER = """
import ctypes, os
from probed.exporter.self_metrics.probes import LOSS_REASONS, ProbeSnapshot, ProbeStats
from probed.exporter.self_metrics.process import Process
process = Process(1.0)
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
prctl = ctypes.CDLL(None).prctl
prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: what a change of user does
assert os.stat("/proc/self/fd").st_uid == 0
print(*sorted(family.name for family in process.families()))
"""


def test_the_process_families_survive_a_change_of_user() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) == PROCESS_FAMILIES


def test_promtool_finds_no_fault() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    page = Page().render([*_all(), *Process(1.0).families()])
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_parses_all_of_it() -> None:
    parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families
    text = Page().render([*_all(), *Process(1.0).families()], openmetrics=True).decode()
    assert {metric.type for metric in parse(text)} == {"counter", "gauge"}


def test_no_probe_can_take_the_name_of_a_self_metric() -> None:
    own = {each.name for each in ALL if each.name.startswith("probed_")}
    assert own
    assert {name for name in own if not name.startswith(OWN_METRIC_PREFIXES)} == set()
