# SPDX-License-Identifier: Apache-2.0
"""Failed opens by each call that opens files, and opens that signals interrupt."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.cgroup2 import Cgroups, run_in
from support.kernel_fixtures import Install, Start
from support.running_daemon import Daemon, Page, rise, site

FAILURES = "probed_open_failures_total"
OPENS = "probed_opens_total"
CALL_FAILURES = "probed_syscall_failures_total"
EXEC_FAILURES = "probed_process_exec_failures_total"
ERRNOS = ("ENOENT", "EACCES", "ENOTDIR", "ELOOP", "EMFILE")


def fail_opens(program: Path, call: str, errno: str, count: int, folder: Path) -> None:

    subprocess.run([program, call, errno, str(count)], cwd=folder, check=True)


@pytest.mark.parametrize("errno", ERRNOS)
def test_a_million_failing_opens_are_all_counted(daemon: Daemon, install: Install, tmp_path: Path, errno: str) -> None:
    program = install("fail_opens")
    before = daemon.scrape()
    fail_opens(program, "openat", errno, 1_000_003, tmp_path)
    after = daemon.scrape()
    assert after.total(FAILURES, comm=program.name, errno=errno) == 1_000_003
    assert rise(before, after, OPENS) >= 1_000_003
    assert rise(before, after, "probed_events_lost_total", probe="open_failures") == 0


@pytest.mark.parametrize("call", ["open", "creat", "openat2"])
def test_every_call_that_opens_is_seen(daemon: Daemon, install: Install, tmp_path: Path, call: str) -> None:
    program = install("fail_opens")
    before = daemon.scrape()
    for errno in ERRNOS:
        fail_opens(program, call, errno, 1_009, tmp_path)
    after = daemon.scrape()
    assert after.by("errno", FAILURES, comm=program.name) == dict.fromkeys(ERRNOS, 1_009)
    assert rise(before, after, OPENS) >= 1_009 * len(ERRNOS)


def test_successful_opens_are_no_failures(daemon: Daemon, install: Install) -> None:
    program = install("exits")
    before = daemon.scrape()
    for _ in range(101):
        with program.open("rb"):
            pass
    assert rise(before, daemon.scrape(), OPENS) >= 101
    assert daemon.scrape().total(FAILURES, comm=program.name) == 0


RESTARTED, INTERRUPTED = 101, 53


def interrupted_open(daemon: Daemon, program: Path, folder: Path, restarted: int, interrupted: int) -> Page:
    """Run the workload in a fresh control group; return the page after it."""
    with Cgroups() as cgroups:
        unit = f"{program.name}-{restarted}-{interrupted}.service"
        run_in(cgroups.make(f"system.slice/{unit}"), program, str(restarted), str(interrupted), cwd=folder)
    return daemon.scrape()


def test_an_open_that_a_signal_restarts_is_one_open_and_no_failure(
    daemon: Daemon, install: Install, tmp_path: Path
) -> None:
    program = install("interrupted_open")
    page = interrupted_open(daemon, program, tmp_path, RESTARTED, 0)
    assert page.total(FAILURES, comm=program.name) == 0
    page = interrupted_open(daemon, program, tmp_path, 0, 0)
    opens = page.by("unit", OPENS)
    assert opens[f"{program.name}-{RESTARTED}-0.service"] == opens[f"{program.name}-0-0.service"]


def test_an_open_that_returns_eintr_is_a_failure(daemon: Daemon, install: Install, tmp_path: Path) -> None:
    program = install("interrupted_open")
    page = interrupted_open(daemon, program, tmp_path, RESTARTED, INTERRUPTED)
    assert page.by("errno", FAILURES, comm=program.name) == {"EINTR": INTERRUPTED}
    page = interrupted_open(daemon, program, tmp_path, 0, 0)
    opens = page.by("unit", OPENS)
    more = opens[f"{program.name}-{RESTARTED}-{INTERRUPTED}.service"] - opens[f"{program.name}-0-0.service"]
    assert more == INTERRUPTED


def test_the_probe_syscalls_counts_eintr_and_no_restart(daemon: Daemon, install: Install, tmp_path: Path) -> None:
    before = daemon.scrape()
    after = interrupted_open(daemon, install("interrupted_open"), tmp_path, RESTARTED, INTERRUPTED)
    assert rise(before, after, CALL_FAILURES, syscall="openat", errno="EINTR") == INTERRUPTED
    assert not [errno for errno in after.by("errno", CALL_FAILURES) if errno.startswith("ERESTART")]


def test_a_thread_counts_under_the_name_of_its_process(daemon: Daemon, install: Install) -> None:
    program = install("named_thread")
    subprocess.run([program, "a-thread", "1013"], check=True)
    page = daemon.scrape()
    assert page.total(FAILURES, comm=program.name) == 1_013
    assert page.total(EXEC_FAILURES, comm=program.name) == 1_013


THREAD_COMM = {"add_labels": {"thread_comm": {"field": "thread_comm", "decoder": "comm"}}}


@pytest.mark.parametrize(("probe", "metric"), [("open_failures", FAILURES), ("process", EXEC_FAILURES)])
def test_a_site_can_show_the_name_of_the_thread(start: Start, install: Install, probe: str, metric: str) -> None:
    daemon, program = start(site({probe: {"metrics": {metric: THREAD_COMM}}})), install("named_thread")
    subprocess.run([program, "a-thread", "1013"], check=True)
    assert daemon.scrape().by("thread_comm", metric, comm=program.name) == {"a-thread": 1_013}
