# SPDX-License-Identifier: Apache-2.0
"""Full or read-only file systems below the loader's private folder and the log."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.faulty_daemon import EXECS, SUCCESSFUL, FastDaemon, StartFast, ours, spawn
from support.running_daemon import until
from support.workload_programs import Install

LARGER = ours("process", misfit={"ring": {"bytes": "1 MiB"}})
OWN_MOUNTS = ("unshare", "--mount", "sh", "-ec", 'exec "$@"', "sh")
SMALL = ("unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o size=1m probed-fault "$TMPDIR"; exec "$@"', "sh")


def inside(daemon: FastDaemon, script: str, *arguments: str) -> None:
    """Run a script in the daemon's mount namespace."""
    own = ("nsenter", f"--target={daemon.supervisor}", "--mount", "sh", "-ec", script, "sh", *arguments)
    subprocess.run(own, check=True)


def assert_it_goes_on(daemon: FastDaemon, install: Install) -> None:
    program = install("exits")
    spawn(install("spawn"), 101, program)
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101
    assert (page.value("probed_probe_up", probe="misfit"), page.value(SUCCESSFUL)) == (1, 0)


def assert_it_recovers(daemon: FastDaemon) -> None:
    until(lambda: daemon.scrape().value("probed_ring_bytes", probe="misfit") == 1 << 20, "it is tried again")


@pytest.fixture
def small() -> Iterator[Path]:
    """A folder that the loader's user can reach, unlike pytest's."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_disk_that_is_full(start_fast: StartFast, install: Install, small: Path) -> None:
    daemon = start_fast(ours("process", "misfit"), *SMALL, TMPDIR=str(small))
    # One page is left: enough to create a file, too little for the compiler's headers.
    inside(daemon, 'yes | head -c 1044480 >"$1"', str(small / "fill"))
    daemon.configure(LARGER)
    daemon.hang_up()
    line = daemon.wait_for_log("No space left on device")
    assert "probe 'misfit': cannot write what the compiler is to read" in line
    assert "TMPDIR" in line
    until(lambda: daemon.failures("misfit").get("compile"), "the page says so")
    assert_it_goes_on(daemon, install)
    inside(daemon, 'rm "$1"', str(small / "fill"))
    assert_it_recovers(daemon)


def test_a_disk_that_is_read_only(start_fast: StartFast, install: Install) -> None:
    daemon = start_fast(ours("process", "misfit"), *OWN_MOUNTS)
    remount = 'for d in / /tmp /var/tmp; do if mountpoint -q $d; then mount -o "remount,bind,$1" $d; fi; done'
    inside(daemon, remount, "ro")
    daemon.configure(LARGER)
    daemon.hang_up()
    line = daemon.wait_for_log("No usable temporary directory found")
    assert "probe 'misfit': cannot write what the compiler is to read" in line
    until(lambda: daemon.failures("misfit").get("compile"), "the page says so")
    assert_it_goes_on(daemon, install)
    inside(daemon, remount, "rw")
    assert_it_recovers(daemon)


@pytest.mark.parametrize("where", ["/dev/full", "a pipe that nobody reads"])
def test_a_log_that_takes_nothing(start_fast: StartFast, install: Install, where: str) -> None:
    into = "exec >/dev/full 2>&1" if where == "/dev/full" else "exec > >(true) 2>&1"
    daemon = start_fast(ours("process"), "bash", "-ec", f'{into}; exec "$@"', "bash")
    program = install("exits")
    spawn(install("spawn"), 101, program)
    daemon.hang_up()
    until(lambda: daemon.scrape().total(EXECS, comm=program.name) == 101, "it counts")
    dead = daemon.exporter
    daemon.kill_exporter()
    until(lambda: daemon.exporter not in (0, dead) and daemon.is_ready(), "there is another exporter")
    assert daemon.scrape().total(EXECS, comm=program.name) == 101
    assert daemon.log() == ""
    daemon.stop()
