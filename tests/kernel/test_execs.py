# SPDX-License-Identifier: Apache-2.0
"""Exact counts of execs, forks, threads and failed execs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.kernel_fixtures import Install
from support.running_daemon import Daemon, Page, rise

EXECS = "probed_process_execs_total"
FORKS = "probed_process_forks_total"
LIFETIMES = "probed_process_lifetime_seconds_count"


def start_spawner(spawner: Path, count: int, *program: str | Path) -> subprocess.Popen[str]:
    command = [spawner, str(count), *program]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def statuses(spawner: subprocess.Popen[str]) -> str:
    return spawner.communicate()[0]


def nothing_lost(before: Page, after: Page, probe: str) -> bool:
    return rise(before, after, "probed_events_lost_total", probe=probe) == 0


def processes_of_the_kernel() -> int:
    """Return how many tasks, threads included, started since boot. Source: proc_stat(5)."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("processes "))


def test_20011_processes_that_only_exit_are_all_counted(daemon: Daemon, install: Install) -> None:
    spawner, program = install("spawn"), install("exits")
    before = daemon.scrape()
    assert statuses(start_spawner(spawner, 20_011, program)) == "0 20011\n"
    after = daemon.scrape()
    assert after.by("parent", EXECS, comm=program.name) == {spawner.name: 20_011}
    assert after.by("exit", LIFETIMES, comm=program.name) == {"ok": 20_011}
    assert nothing_lost(before, after, "process")


def test_two_spawners_at_once_are_told_apart(daemon: Daemon, install: Install) -> None:
    counts = (10_007, 10_009)
    programs = [install("exits") for _ in counts]
    before = daemon.scrape()
    spawners = [start_spawner(install("spawn"), *each) for each in zip(counts, programs, strict=True)]
    assert [statuses(spawner) for spawner in spawners] == ["0 10007\n", "0 10009\n"]
    after = daemon.scrape()
    assert tuple(after.total(EXECS, comm=program.name) for program in programs) == counts
    assert tuple(after.total(LIFETIMES, comm=program.name) for program in programs) == counts
    assert nothing_lost(before, after, "process")


def test_forks_are_all_counted(daemon: Daemon, install: Install) -> None:
    made_before, before = processes_of_the_kernel(), daemon.scrape()
    statuses(start_spawner(install("spawn"), 2_003, install("exits")))
    after, made_after = daemon.scrape(), processes_of_the_kernel()
    assert 2_003 < rise(before, after, FORKS) <= made_after - made_before


def test_threads_are_not_counted_as_forks(daemon: Daemon, install: Install) -> None:
    made_before, before = processes_of_the_kernel(), daemon.scrape()
    subprocess.run([install("exit_kinds"), "threads", "10007"], check=True)
    after, made_after = daemon.scrape(), processes_of_the_kernel()
    assert 1 <= rise(before, after, FORKS) <= made_after - made_before - 10_007


def test_failed_execs_are_counted_by_errno(daemon: Daemon, install: Install, tmp_path: Path) -> None:
    spawner, program = install("spawn"), install("exit_kinds")
    command = list(map(str, (spawner, 101, program, "failed_exec")))
    assert subprocess.check_output(command, cwd=tmp_path, text=True) == "0 101\n"
    page = daemon.scrape()
    failures = page.by("errno", "probed_process_exec_failures_total", comm=program.name)
    assert failures == {"ENOENT": 101, "EACCES": 101, "ENOEXEC": 101}
    assert page.total(EXECS, comm=program.name) == 101
