# SPDX-License-Identifier: Apache-2.0
"""Storms cost the ring almost nothing, and a full ring loses no event."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Daemon, Page, run_to_its_end, site, stopped

FAILURES = "probed_open_failures_total"
EXECS = "probed_process_execs_total"
LIFETIME = "probed_process_lifetime_seconds"
ONE_PAGE: Mapping[str, Any] = {
    "cgroups": {},
    "process": {"ring": {"bytes": "4 KiB"}},
    "open_failures": {"ring": {"bytes": "4 KiB"}},
}
OPENS, NAMES, SPAWNS = 1_000_003, 97, 20_011


def assert_nothing_lost(page: Page) -> None:
    for probe in ("process", "open_failures"):
        assert (page.lost(probe), page.value("probed_events_unaccounted", probe=probe)) == (0, 0), probe
        assert page.emitted(probe) == page.accounted(probe), probe


def assert_all_spawns(page: Page, program: Path, spawns: int) -> None:
    assert page.total(EXECS, comm=program.name) == spawns
    assert page.by("exit", f"{LIFETIME}_count", comm=program.name) == {"ok": spawns}
    buckets = page.by("le", f"{LIFETIME}_bucket", comm=program.name)
    assert buckets["+Inf"] == spawns


def turns(opens: int) -> dict[str, float]:
    """Return the expected calls of each name of the workload takes_turns."""
    return {f"turn-{number}": opens // NAMES + (number < opens % NAMES) for number in range(NAMES)}


def of_turns(page: Page) -> dict[str, float]:
    return {comm: n for comm, n in page.by("comm", FAILURES).items() if comm.startswith("turn-")}


def test_a_ring_of_one_page_without_a_reader_loses_nothing(start: Start, install: Install, tmp_path: Path) -> None:
    daemon, program = start(site(ONE_PAGE)), install("exits")
    with stopped(daemon.exporter):
        subprocess.run([install("takes_turns"), str(OPENS), str(NAMES), "turn"], cwd=tmp_path, check=True)
        subprocess.run([install("spawn"), str(SPAWNS), program], check=True, stdout=subprocess.DEVNULL)
    page = daemon.scrape()
    assert of_turns(page) == turns(OPENS)
    assert_all_spawns(page, program, SPAWNS)
    assert_nothing_lost(page)
    assert page.value("probed_ring_records_total", probe="open_failures") < 200


def test_a_ring_of_one_page_with_a_reader_loses_nothing_on_overcommitted_cpus(
    start: Start, install: Install, tmp_path: Path
) -> None:
    daemon, program, opener = start(site(ONE_PAGE)), install("exits"), install("fail_opens")
    opens = (str(opener), "openat", "ENOENT", "20011")
    renamed_opens = (str(install("takes_turns")), "20011", str(NAMES), "turn")
    spawns = (str(install("spawn")), "503", str(program))
    commands: list[tuple[str, ...]] = [opens] * 12 + [renamed_opens] * 8 + [spawns] * 4
    running = [subprocess.Popen(each, cwd=tmp_path, stdout=subprocess.DEVNULL) for each in commands]
    while any(process.poll() is None for process in running):
        assert_nothing_lost(daemon.scrape())
    page = daemon.scrape()
    assert page.total(FAILURES, comm=opener.name, errno="ENOENT") == 12 * 20_011
    assert of_turns(page) == {name: 8 * calls for name, calls in turns(20_011).items()}
    assert_all_spawns(page, program, 4 * 503)
    assert_nothing_lost(page)


def test_a_storm_of_one_label_set_on_each_cpu_costs_the_ring_a_record_in_a_thousand(
    daemon: Daemon, install: Install, tmp_path: Path
) -> None:
    opener = install("fail_opens")
    before = daemon.scrape()
    command: list[str] = [str(opener), "openat", "ENOENT", str(OPENS)]
    running = [subprocess.Popen(["taskset", "-c", str(cpu), *command], cwd=tmp_path) for cpu in os.sched_getaffinity(0)]
    assert [process.wait() for process in running] == [0] * len(running)
    after = daemon.scrape()
    assert after.total(FAILURES, comm=opener.name, errno="ENOENT") == OPENS * len(running)
    records, events = (
        after.value(name, probe="open_failures") - before.value(name, probe="open_failures")
        for name in ("probed_ring_records_total", "probed_events_delivered_total")
    )
    assert events >= OPENS * len(running)
    assert records <= events / 1_000


def test_lifetimes_without_room_in_the_ring_keep_their_sum_and_their_bucket(
    start: Start, install: Install, tmp_path: Path
) -> None:
    daemon, program, filler = start(site(ONE_PAGE)), install("lives"), install("exits")
    with stopped(daemon.exporter):
        subprocess.run([install("spawn"), "1009", filler], check=True, stdout=subprocess.DEVNULL)
        begin = time.monotonic()
        subprocess.run([install("spawn"), "211", program, "30"], check=True, stdout=subprocess.DEVNULL)
        elapsed = time.monotonic() - begin
    page = daemon.scrape()
    count, seconds = (page.total(f"{LIFETIME}_{what}", comm=program.name) for what in ("count", "sum"))
    buckets = {float(le): n for le, n in page.by("le", f"{LIFETIME}_bucket", comm=program.name).items()}
    assert (count, buckets.get(0.02, 0)) == (211, 0)
    assert 211 * 0.03 <= seconds <= 211 * elapsed
    assert_nothing_lost(page)


NUMBERS = range(1, 30_012)
CROWD = {"probed_crowd_even_total": 15_005, "probed_crowd_odd_total": 15_006, "probed_crowd_seconds_count": 30_011}


def crowd_ns(number: int) -> int:
    """Return the value that the probe `crowd` observes."""
    return (3_000_000 if number % 3 else 700_000) + number % 101


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_label_sets_without_room_in_ring_and_map_count_as_other_by_the_right_metrics(
    start: Start, install: Install, tmp_path: Path, loader: str
) -> None:
    for name, parent in (("include", PROBES), ("crowd", OWN_PROBES)):
        shutil.copytree(parent / name, tmp_path / "probes" / name, ignore=shutil.ignore_patterns("*.bpf.o"))
    if loader == "core":
        status, text = run_to_its_end("build", str(tmp_path / "probes"))
        assert status == 0, text
    daemon, program = start(site({"crowd": {}}, [tmp_path / "probes"], loader=loader)), install("observes")
    with stopped(daemon.exporter):
        subprocess.run([program], input="\n".join(map(str, NUMBERS)), text=True, check=True)
    page = daemon.scrape()
    assert {name: page.total(name) for name in CROWD} == CROWD
    assert all(page.by("number", name)["other"] > 10_007 for name in CROWD)
    assert page.value("probed_crowd_arguments_total") == len(NUMBERS)
    assert page.total("probed_crowd_seconds_bucket", le="0.001") == len(NUMBERS) // 3
    assert round(page.total("probed_crowd_seconds_sum") * 1e9) == sum(map(crowd_ns, NUMBERS))
    assert page.lost("crowd") == page.value("probed_events_unaccounted", probe="crowd") == 0
    assert page.emitted("crowd") == page.accounted("crowd") == 2 * len(NUMBERS)
