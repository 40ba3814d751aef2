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
