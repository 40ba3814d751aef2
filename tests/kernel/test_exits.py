# SPDX-License-Identifier: Apache-2.0
"""The page shows one end for each process, with the status of waitpid(2), in any order of its threads."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from support.cgroup2 import Cgroups, run_in
from support.kernel_fixtures import Install, Start
from support.running_daemon import Daemon, site

TIMES = 7

KINDS = (
    "exit 0",
    "exit 3",
    "signal 15",
    "signal 9",
    "signal 11",
    "segv",
    "abort",
    "core 11",
    "core 6",
    "core 9",
    "signal_threads 15",
    "core 3",
    "leader_first exit 3",
    "leader_first exit_group 4",
    "leader_first thread_exit 0",
    "leader_first thread_exit 5",
    "leader_first return",
    "leader_first signal 9",
    "leader_exits 6 exit 0",
    "leader_exits 6 thread_exit 0",
    "leader_exits 0 thread_exit 7",
    "group_exit 0",
    "group_exit 5",
    "threads 11",
    "all_at_once 2 0",
    "all_at_once 23 9",
    "fork 0",
    "fork 3",
    "vfork 3",
    "failed_exec",
)

EXECS = {
    "exec {program} exit 3": 2,
    "exec {program} exec {program} exit 0": 3,
    "thread_exec {program} exit 3": 2,
    "thread_exec {program} thread_exec {program} signal 15": 3,
    "thread_exec {program} leader_first thread_exit 5": 2,
    "execveat {folder} {name} exit 3": 2,
}
"""Arguments of a process that execs, and its execs with the first."""


def exit_label(status: int) -> str:
    """Return the expected label of a wait status."""
    if os.WIFSIGNALED(status):
        return "core" if os.WCOREDUMP(status) else "signal"
    return "error" if os.WEXITSTATUS(status) else "ok"


def spawn(spawner: Path, times: int, program: Path, kind: str, folder: Path) -> Counter[str]:
    """Run a kind of exit several times; return the expected count of each exit label, children included."""
    arguments = kind.format(program=program, folder=program.parent, name=program.name).split()
    command = list(map(str, (spawner, times, program, *arguments)))
    output = subprocess.check_output(command, cwd=folder, text=True)
    ends = Counter[str]()
    for line in output.splitlines():
        status, count = (*line.split(), "1")[:2]
        ends[exit_label(int(status))] += int(count)
    return ends


@pytest.mark.parametrize("kind", [*KINDS, *EXECS])
def test_the_exit_label_agrees_with_waitpid(daemon: Daemon, install: Install, tmp_path: Path, kind: str) -> None:
    program = install("exit_kinds")
    ends = spawn(install("spawn"), TIMES, program, kind, tmp_path)
    page = daemon.scrape()
    assert ends.total() >= TIMES
    assert page.by("exit", "probed_process_lifetime_seconds_count", comm=program.name) == ends
    assert page.total("probed_process_execs_total", comm=program.name) == TIMES * EXECS.get(kind, 1)


@pytest.mark.parametrize(("threads", "times"), [(2, 1_999), (3, 997), (31, 211)])
def test_threads_that_end_together_are_one_exit(
    daemon: Daemon, install: Install, tmp_path: Path, threads: int, times: int
) -> None:
    program = install("exit_kinds")
    assert spawn(install("spawn"), times, program, f"all_at_once {threads} 0", tmp_path) == {"ok": times}
    ends = daemon.scrape().by("exit", "probed_process_lifetime_seconds_count", comm=program.name)
    assert ends == {"ok": times}


LIFETIMES = "probed_process_lifetime_seconds"
WITH_SIGNAL = {
    "process": {"metrics": {LIFETIMES: {"add_labels": {"signal": {"field": "signal", "decoder": "signal"}}}}},
}


def test_a_site_can_show_the_signal_that_ended_a_process(start: Start, install: Install) -> None:
    daemon, program = start(site(WITH_SIGNAL)), install("exit_kinds")
    for kind, count in {"exit 3": 3, "signal 15": 5, "signal 9": 7}.items():
        for _ in range(count):
            subprocess.run([program, *kind.split()], check=False)
    ended = daemon.scrape().by("signal", f"{LIFETIMES}_count", comm=program.name)
    assert ended == {"none": 3, "SIGTERM": 5, "SIGKILL": 7}


def test_failed_forks_are_counted_by_errno(daemon: Daemon, install: Install) -> None:
    program = install("forks_fail")
    subprocess.run([program, "1009"], check=True)
    page = daemon.scrape()
    assert page.by("errno", "probed_process_fork_failures_total", comm=program.name) == {"EAGAIN": 1_009}


def test_threads_are_counted_beside_the_first_of_a_process(daemon: Daemon, install: Install) -> None:
    program = install("threads")
    unit = f"{program.name}.service"
    with Cgroups() as cgroups:
        run_in(cgroups.make(f"system.slice/{unit}"), program, "1013")
    page = daemon.scrape()
    assert page.value("probed_process_threads_created_total", unit=unit) == 1_013
    assert page.total("probed_process_forks_total", unit=unit) == 0
