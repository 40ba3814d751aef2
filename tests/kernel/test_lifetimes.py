# SPDX-License-Identifier: Apache-2.0
"""Lifetimes run from the last exec, or the creation, to the end of the last thread."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from support.kernel_fixtures import Install, Start
from support.running_daemon import SHIPPED, Daemon, Page, site

LIFETIME = "probed_process_lifetime_seconds"
SHIFTED = ("unshare", "--time", "--monotonic", "-7", "--boottime", "86411", "--")
"""Runs a command in a time namespace with a boot a day ago."""
BOUNDS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 300, 3600)
"""Buckets of probes/process/process.yaml."""


def lived(page: Page, least: float, most: float, **labels: str) -> float:
    """Return the number of lifetimes in the buckets that hold the times from `least` to `most`."""
    cumulative = {float(le): n for le, n in page.by("le", f"{LIFETIME}_bucket", **labels).items()}
    low = max(bound for bound in BOUNDS if bound <= least)
    high = min(bound for bound in BOUNDS if bound >= most)
    return cumulative.get(high, 0) - cumulative.get(low, 0)


def count_and_sum(page: Page, **labels: str) -> tuple[float, float]:
    return page.total(f"{LIFETIME}_count", **labels), page.total(f"{LIFETIME}_sum", **labels)


@pytest.mark.parametrize(("ms", "times"), [(30, 11), (300, 7), (1_700, 3)])
def test_a_sleep_is_in_its_bucket(daemon: Daemon, install: Install, ms: int, times: int) -> None:
    program = install("lives")
    begin = time.monotonic()
    running = [subprocess.Popen([program, str(ms)]) for _ in range(times)]
    assert [process.wait() for process in running] == [0] * times
    longest = time.monotonic() - begin
    page = daemon.scrape()
    assert lived(page, ms / 1000, longest, comm=program.name, exit="ok") == times
    count, seconds = count_and_sum(page, comm=program.name)
    assert count == times
    assert times * ms / 1000 <= seconds <= times * longest


def test_an_exec_begins_a_new_life(daemon: Daemon, install: Install) -> None:
    first, second = install("lives"), install("lives")
    begin = time.monotonic()
    subprocess.run(["sh", "-c", f"{first} 300; exec {second} 30"], check=True)
    elapsed = time.monotonic() - begin
    page = daemon.scrape()
    assert lived(page, 0.3, elapsed - 0.03, comm=first.name) == 1
    assert lived(page, 0.03, elapsed - 0.3, comm=second.name) == 1


EXEC_SLOTS = 4_096
"""Of probes/process/process.bpf.c: processes whose ids are equal modulo this number share a slot."""
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
"""The id before that of the next process. Source: Linux Documentation/admin-guide/sysctl/kernel.rst."""


def start_beside(holder: subprocess.Popen[bytes], *command: str | Path) -> subprocess.Popen[bytes]:
    """Start a command, which waits for its input, in the slot of another process."""
    pid = holder.pid + EXEC_SLOTS if holder.pid < 3 * EXEC_SLOTS else holder.pid - EXEC_SLOTS
    for _ in range(101):
        LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        if process.pid == pid:
            return process
        process.communicate()
    raise AssertionError(f"other programs took the process id {pid}")


def noted(daemon: Daemon) -> float:
    """Return the number of times of exec beside the slots; the daemon counts at the first scrape, then seldom."""
    return daemon.scrape().value("probed_map_entries", probe="process", map="last_exec")


def test_processes_with_one_slot_have_their_own_times_of_exec(start: Start, install: Install) -> None:
    held, beside, daemon = install("lives"), install("lives"), start()
    begin = time.monotonic()
    holder = subprocess.Popen([held, "until-eof"], stdin=subprocess.PIPE)
    second = start_beside(holder, "sh", "-c", f"read line; exec {beside} 30")
    assert noted(daemon) == 1
    time.sleep(0.3)
    middle = time.monotonic()
    second.communicate(b"\n")
    end = time.monotonic()
    holder.communicate()
    page = daemon.scrape()
    assert lived(page, 0.03, end - middle, comm=beside.name, exit="ok") == 1
    assert lived(page, 0.3, time.monotonic() - begin, comm=held.name, exit="ok") == 1


def test_a_process_beside_a_slot_stays_there_when_the_slot_is_free(start: Start, install: Install) -> None:
    held, beside, daemon = install("lives"), install("lives"), start()
    holder = subprocess.Popen([held, "until-eof"], stdin=subprocess.PIPE)
    second = start_beside(holder, "sh", "-c", f"read line; exec {beside} 30")
    time.sleep(0.3)
    holder.communicate()
    begin = time.monotonic()
    second.communicate(b"\n")
    elapsed = time.monotonic() - begin
    third = start_beside(second, held, "until-eof")
    assert noted(daemon) == 0
    third.communicate()
    page = daemon.scrape()
    assert lived(page, 0.03, elapsed, comm=beside.name, exit="ok") == 1
    assert count_and_sum(page, comm=held.name)[0] == 2


def test_a_process_lives_until_its_last_thread_ends(daemon: Daemon, install: Install) -> None:
    program = install("exit_kinds")
    begin = time.monotonic()
    subprocess.run([program, "leader_first", "thread_exit", "0", "300"], check=True)
    elapsed = time.monotonic() - begin
    page = daemon.scrape()
    assert lived(page, 0.3, elapsed, comm=program.name, exit="ok") == 1
    assert count_and_sum(page, comm=program.name)[0] == 1


def test_a_process_older_than_the_daemon_has_lived_since_its_creation(start: Start, install: Install) -> None:
    program = install("lives")
    before_creation = time.monotonic()
    old = subprocess.Popen([program, "until-eof"], stdin=subprocess.PIPE)
    after_creation = time.monotonic()
    daemon = start()
    before_end = time.monotonic()
    old.communicate()
    after_end = time.monotonic()
    count, seconds = count_and_sum(daemon.scrape(), comm=program.name, exit="ok")
    assert count == 1
    assert before_end - after_creation <= seconds <= after_end - before_creation


def test_a_time_namespace_shifts_no_lifetime(tmp_path: Path, install: Install) -> None:
    shifted, plain = install("lives"), install("lives")
    with Daemon(tmp_path, site(), under=SHIFTED) as daemon:
        daemon.wait_until_ready()
        begin = time.monotonic()
        subprocess.run([*SHIFTED, shifted, "30"], check=True)
        subprocess.run([plain, "30"], check=True)
        elapsed = time.monotonic() - begin
        page = daemon.scrape()
    assert page.by("probe", "probed_probe_up") == dict.fromkeys(SHIPPED, 1)
    for program in (shifted, plain):
        assert count_and_sum(page, comm=program.name)[0] == 1
        assert lived(page, 0.03, elapsed, comm=program.name, exit="ok") == 1


def test_a_process_that_never_execs_has_lived_since_its_creation(
    daemon: Daemon, install: Install, tmp_path: Path
) -> None:
    program = install("exit_kinds")
    begin = time.monotonic()
    subprocess.run([program, "fork", "0"], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    elapsed = time.monotonic() - begin
    count, seconds = count_and_sum(daemon.scrape(), comm=program.name)
    assert count == 2
    assert seconds <= 2 * elapsed
