# SPDX-License-Identifier: Apache-2.0
"""A dead or hanging loader delays its own probe only; running probes count on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.faulty_daemon import EXECS, SUCCESSFUL, FastDaemon, StartFast, ours, spawn, stop_while_it_compiles
from support.processes import children, status_of
from support.running_daemon import until
from support.workload_programs import Install

LARGER = {"ring": {"bytes": "1 MiB"}}


@pytest.fixture
def counting(start_fast: StartFast, install: Install) -> tuple[FastDaemon, Path, Path]:
    """A daemon whose probe has counted 101 execs."""
    daemon, spawner, program = start_fast(ours("process", "misfit")), install("spawn"), install("exits")
    spawn(spawner, 101, program)
    assert daemon.scrape().total(EXECS, comm=program.name) == 101
    return daemon, spawner, program


def stop_tree(pid: int) -> list[int]:
    """Stop a process and all below it; return those below."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: status_of(pid)["State"].startswith("T"), f"process {pid} has stopped")
    below = children(pid)
    return below + [each for child in below for each in stop_tree(child)]


def assert_recovered(daemon: FastDaemon, probe: str, ring_bytes: int) -> None:
    """Assert that the supervisor loads the newer version without another request."""
    until(lambda: daemon.scrape().value("probed_ring_bytes", probe=probe) == ring_bytes, "it is tried again")
    until(lambda: daemon.loader == 0, "the loader is gone")


def test_a_loader_that_is_killed(counting: tuple[FastDaemon, Path, Path]) -> None:
    daemon, spawner, program = counting
    daemon.configure(ours("process", misfit=LARGER))
    daemon.hang_up()
    os.kill(stop_while_it_compiles(daemon), signal.SIGKILL)
    line = daemon.wait_for_log("probe 'misfit': the loader ended while it worked on this probe")
    assert "it was killed by SIGKILL" in line
    assert "reason=internal" in line
    spawn(spawner, 103, program)
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101 + 103
    until(lambda: daemon.failures("misfit") == {"internal": 1}, "the page says so")
    assert_recovered(daemon, "misfit", 1 << 20)


def test_a_loader_that_crashes_in_the_compiler(counting: tuple[FastDaemon, Path, Path]) -> None:
    daemon, spawner, program = counting
    daemon.configure(ours("process", "crashing", misfit=LARGER))
    page = daemon.reload()
    line = daemon.wait_for_log("probe 'crashing': the loader ended while it worked on this probe")
    assert "it was killed by SIGABRT" in line
    assert "reason=compile" in line
    assert "crashing.bpf.c:7: current parser token 'pragma'" in daemon.log()
    assert "LLVM ERROR" in daemon.log()
    assert (page.value("probed_probe_up", probe="misfit"), page.value("probed_probe_up", probe="crashing")) == (1, 0)
    spawn(spawner, 103, program)
    assert daemon.scrape().total(EXECS, comm=program.name) == 101 + 103


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files of any user, as /tmp; users cannot reach pytest's."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def test_a_killed_loader_leaves_neither_canary_nor_folder(start_fast: StartFast, temporary: Path) -> None:
    daemon = start_fast(ours("misfit"), TMPDIR=str(temporary))
    daemon.configure(ours(misfit=LARGER))
    daemon.hang_up()
    until(lambda: list(temporary.glob("probed-headers-*")), "the loader compiles")
    loader = daemon.loader
    canaries = stop_tree(loader)
    for folder in temporary.iterdir():  # the next loader looks once, a second after the death
        os.utime(folder, (0, 0))
    os.kill(loader, signal.SIGKILL)
    daemon.wait_for_log("it was killed by SIGKILL")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in canaries), "the canary is gone")
    assert_recovered(daemon, "misfit", 1 << 20)
    assert list(temporary.iterdir()) == []


def test_a_loader_that_hangs(counting: tuple[FastDaemon, Path, Path]) -> None:
    daemon, spawner, program = counting
    daemon.configure(ours("process", misfit=LARGER))
    daemon.hang_up()
    loader = stop_while_it_compiles(daemon)
    spawn(spawner, 103, program)
    assert daemon.scrape().total(EXECS, comm=program.name) == 101 + 103
    line = daemon.wait_for_log("probe 'misfit': loading took longer than 8 s")
    assert "reason=timeout" in line
    assert not Path(f"/proc/{loader}").exists()
    until(lambda: daemon.scrape().value(SUCCESSFUL) == 0, "the page says so")
    assert daemon.failures("misfit") == {"timeout": 1}
    assert_recovered(daemon, "misfit", 1 << 20)


def test_a_loader_that_hangs_before_it_has_read_the_files(counting: tuple[FastDaemon, Path, Path]) -> None:
    daemon, spawner, program = counting
    daemon.hang_up()
    until(lambda: daemon.loader, "there is a loader")
    os.kill(daemon.loader, signal.SIGSTOP)
    daemon.wait_for_log("reload refused, the daemon runs on unchanged")
    assert "the loader ended before it had read the files: loading took longer than 8 s" in daemon.log()
    until(lambda: daemon.scrape().value(SUCCESSFUL) == 0, "the page says so")
    spawn(spawner, 103, program)
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101 + 103
    assert daemon.reload().value(SUCCESSFUL) == 1
