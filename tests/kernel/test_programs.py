# SPDX-License-Identifier: Apache-2.0
"""The metrics of probed's programs and maps agree with the kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from probed.exporter.weights.overflow import LABEL_SETS, OTHERS
from probed.ipc.manifest import OTHERS_MAPS, OVERFLOW_MAPS
from probed.linux.threads import max_threads
from probed.loader.common.host import LEAST_PROCESSES, MOST_PROCESSES
from support.bpf_objects import run_statistics
from support.cgroup2 import Cgroups
from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.processes import bpf_program_ids
from support.running_daemon import PROBES, Page, rise, site, until

RUNS = "probed_program_runs_total"
HOOK = "probed_cgroup_mkdir"
NOTES = site({"notes": None}, [PROBES, OWN_PROBES])


@pytest.fixture
def statistics() -> Iterator[Path]:
    """The sysctl kernel.bpf_stats_enabled, restored afterwards."""
    with run_statistics() as file:
        yield file


def infos(page: Page) -> list[dict[str, str]]:
    return [dict(labels) for name, labels in page if name == "probed_program_info"]


def make_groups(times: int) -> None:
    with Cgroups() as groups:
        for number in range(times):
            groups.make(f"probed-test-{number}")


def test_every_run_is_on_the_page_while_the_kernel_counts_runs(statistics: Path, start: Start) -> None:
    statistics.write_text("1")
    daemon = start(NOTES)
    before = daemon.scrape()
    make_groups(101)
    after = daemon.scrape()
    assert rise(before, after, RUNS, program=HOOK) == rise(before, after, "probed_notes_total") == 101
    assert rise(before, after, "probed_program_run_seconds_total", program=HOOK) > 0


def test_runs_stay_while_the_kernel_counts_none(statistics: Path, start: Start) -> None:
    statistics.write_text("1")
    daemon = start(NOTES)
    make_groups(7)
    statistics.write_text("0")
    before = daemon.scrape()
    make_groups(101)
    after = daemon.scrape()
    assert before.value(RUNS, program=HOOK) == 7
    assert rise(before, after, RUNS) == 0
    assert rise(before, after, "probed_notes_total") == 101


def test_runs_are_not_on_the_page_where_the_kernel_never_counted(statistics: Path, start: Start) -> None:
    statistics.write_text("0")
    page = start(NOTES).scrape()
    assert not [name for name, _ in page if name in (RUNS, "probed_program_run_seconds_total")]


def test_the_programs_are_those_of_the_supervisor(start: Start) -> None:
    daemon = start()
    page = daemon.scrape()
    assert {int(info["id"]) for info in infos(page)} == bpf_program_ids(daemon.supervisor)
    assert {(info["program"], info["attach"]) for info in infos(page) if info["probe"] == "process"} >= {
        ("on_exec", "raw_tracepoint:sched_process_exec"),
        ("on_fork", "raw_tracepoint:sched_process_fork"),
    }
    assert {info["program"] for info in infos(page) if not info["probe"]} >= {
        "probed_sys_exit",
        "probed_sched_process_exec",
    }


def test_the_exporter_holds_no_program(start: Start) -> None:
    daemon = start()
    assert daemon.scrape()
    assert bpf_program_ids(daemon.exporter) == set()


def test_programs_are_on_the_page_after_the_exporters_death_and_a_reload(start: Start) -> None:
    daemon = start(NOTES)
    before = infos(daemon.scrape())
    died = daemon.exporter
    daemon.kill_exporter()
    until(lambda: daemon.exporter not in (0, died), "there is another exporter")
    daemon.wait_until_ready()
    assert infos(daemon.scrape()) == before
    page = daemon.reload(site({"notes": None, "process": None}, [PROBES, OWN_PROBES]))
    assert {int(info["id"]) for info in infos(page)} == bpf_program_ids(daemon.supervisor)


def test_map_entries_are_exact_and_notes_beyond_them_are_no_lost_events(start: Start, install: Install) -> None:
    daemon = start(NOTES)
    subprocess.run([install("spawn"), "101", install("exits")], check=True, stdout=subprocess.DEVNULL)
    page = daemon.scrape()
    assert page.by("map", "probed_map_entries", probe="notes") == {"notes": 101, "taken": 101}
    assert page.by("map", "probed_map_capacity", probe="notes") == {"notes": 211, "taken": 307}
    subprocess.run([install("spawn"), "211", install("exits")], check=True, stdout=subprocess.DEVNULL)
    page = daemon.scrape()
    assert page.value("probed_map_entries", probe="notes", map="taken") == 211
    assert page.value("probed_notes_lost_total", probe="notes") == 101
    assert page.lost("notes") == 0


def test_the_shipped_hash_maps_are_there(start: Start) -> None:
    page = start().scrape()
    processes = min(max(max_threads(), LEAST_PROCESSES), MOST_PROCESSES)
    notes = {"ended": processes // 64, "last_exec": processes // 16}
    without_room = dict.fromkeys(OVERFLOW_MAPS, LABEL_SETS) | dict.fromkeys(OTHERS_MAPS, OTHERS)
    assert page.by("map", "probed_map_capacity", probe="process") == notes | without_room
    assert 0 < page.value("probed_map_entries", probe="process", map="last_exec") + 1 < processes
