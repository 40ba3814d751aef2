# SPDX-License-Identifier: Apache-2.0
"""Every open that fails, by each of the calls that open files, in loops that do nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.kernel_fixtures import Install
from support.running_daemon import Daemon, rise

FAILURES = "probed_open_failures_total"
OPENS = "probed_opens_total"
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


def test_opens_that_succeed_are_no_failures(daemon: Daemon, install: Install) -> None:
    program = install("exits")
    before = daemon.scrape()
    for _ in range(101):
        with program.open("rb"):
            pass
    assert rise(before, daemon.scrape(), OPENS) >= 101
    assert daemon.scrape().total(FAILURES, comm=program.name) == 0
