# SPDX-License-Identifier: Apache-2.0
"""Every system call and every failure, natively and through the 32-bit table of x86."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.kernel_fixtures import Install
from support.running_daemon import Daemon, Page, rise

CALLS = "probed_syscalls_total"
FAILURES = "probed_syscall_failures_total"
NO_32_BIT_TABLE = 77


def make(program: Path, **calls: int) -> None:
    """Make calls, by name or, written n_NUMBER, by number."""
    arguments = [text for name, n in calls.items() for text in (name.removeprefix("n_"), str(n))]
    subprocess.run([program, *arguments], check=True)


def test_counts_of_common_calls_rise_by_at_least_the_calls_made(daemon: Daemon, install: Install) -> None:
    program = install("calls")
    before = daemon.scrape()
    make(program, getppid=100_003, close=1_009)
    after = daemon.scrape()
    assert rise(before, after, CALLS, syscall="getppid") >= 100_003
    assert rise(before, after, CALLS, syscall="close") >= 1_009
    assert rise(before, after, FAILURES, syscall="close", errno="EBADF") >= 1_009


def test_counts_of_rare_calls_rise_by_exactly_the_calls_made(daemon: Daemon, install: Install) -> None:
    program, rare = install("calls"), "sched_rr_get_interval"
    before = daemon.scrape()
    make(program, **{rare: 100_003, f"{rare}(-1)": 1_009})
    after = daemon.scrape()
    assert rise(before, after, CALLS, syscall=rare) == 100_003 + 1_009
    assert rise(before, after, FAILURES, syscall=rare, errno="EINVAL") == 1_009
    assert rise(before, after, FAILURES, syscall=rare) == 1_009


def test_unknown_call_numbers_are_shown_as_numbers(daemon: Daemon, install: Install) -> None:
    program = install("calls")
    before = daemon.scrape()
    make(program, n_1000=10_007, n_100003=1_013)
    after = daemon.scrape()
    for name, count in {"syscall_1000": 10_007, "syscall_100003": 1_013}.items():
        assert rise(before, after, CALLS, syscall=name) == count
        assert rise(before, after, FAILURES, syscall=name, errno="ENOSYS") == count


@pytest.fixture
def int80(daemon: Daemon, install: Install) -> Path:
    """A program that makes 32-bit calls, run once before the test."""
    status = subprocess.run([install("int80"), "open", "1"], check=False).returncode
    if status == NO_32_BIT_TABLE:
        pytest.skip("this kernel has no 32-bit system calls")
    assert status == 0
    return install("int80")


def calls_of(before: Page, after: Page, *names: str) -> dict[str, float]:
    return {name: rise(before, after, CALLS, syscall=name) for name in names}


def test_calls_through_the_32_bit_table_have_its_names(daemon: Daemon, int80: Path) -> None:
    before = daemon.scrape()
    make(int80, getppid=10_007, sched_rr_get_interval=1_009)
    risen = calls_of(before, daemon.scrape(), "getppid", "semget", "sched_rr_get_interval", "chroot")
    assert risen["getppid"] >= 10_007 > risen["semget"]  # both are number 64
    assert risen["sched_rr_get_interval"] == 1_009 > risen["chroot"]  # both are number 161


def test_opens_through_the_32_bit_table_are_opens(daemon: Daemon, int80: Path) -> None:
    before = daemon.scrape()
    make(int80, open=1_013)
    after = daemon.scrape()
    assert after.by("errno", "probed_open_failures_total", comm=int80.name) == {"EFAULT": 1_013}
    assert rise(before, after, "probed_opens_total") >= 1_013
    assert rise(before, after, FAILURES, syscall="open", errno="EFAULT") >= 1_013
