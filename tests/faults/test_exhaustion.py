# SPDX-License-Identifier: Apache-2.0
"""Without processes, descriptors or memory the daemon names the cause, running probes count on, and it recovers."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from support.faulty_daemon import EXECS, SUCCESSFUL, FastDaemon, StartFast, few_files, ours, spawn
from support.hostile_daemon import UNIT
from support.processes import open_files
from support.resource_limits import UNLIMITED, limited
from support.running_daemon import SHIPPED, Daemon, site, until
from support.workload_programs import Install

UNREADY = b"no probe is up; the landing page and the log say why\n"
LARGER = {"ring": {"bytes": "1 MiB"}}
COLLECT_FAILURES = "probed_probe_collect_failures_total"
UP = "probed_probe_up"


def another_exporter(daemon: FastDaemon, dead: int) -> None:
    until(lambda: daemon.exporter not in (0, dead) and daemon.is_ready(), "there is another exporter")


def test_no_process_for_a_loader(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process", "misfit")), install("spawn"), install("exits")
    with limited("pids") as limit:
        limit.hold(daemon.supervisor)
        limit.set(1)
        daemon.configure(ours("process", misfit=LARGER))
        daemon.hang_up()
        daemon.wait_for_log("reload refused, the daemon runs on unchanged")
        assert "no loader can be started: Resource temporarily unavailable (EAGAIN)" in daemon.log()
        assert "TasksMax=" in daemon.log()
        spawn(spawner, 101, program)
        until(lambda: daemon.scrape().value(SUCCESSFUL) == 0, "the page says so")
        assert daemon.scrape().total(EXECS, comm=program.name) == 101
        limit.set(UNLIMITED)
        page = daemon.reload()
        assert (page.value(SUCCESSFUL), page.value("probed_ring_bytes", probe="misfit")) == (1, 1 << 20)
        assert page.total(EXECS, comm=program.name) == 101


def test_no_process_for_another_try(start_fast: StartFast, install: Install, tmp_path: Path) -> None:
    daemon = start_fast(ours("process", "refused"))
    with limited("pids") as limit:
        limit.hold(daemon.supervisor)
        limit.set(1)
        daemon.wait_for_log("probe 'refused': no loader can be started: Resource temporarily unavailable (EAGAIN)")
        until(lambda: daemon.failures("refused").get("internal"), "the page says so")
        limit.set(UNLIMITED)
        before = daemon.failures("refused")["verifier"]
        until(lambda: daemon.failures("refused")["verifier"] > before, "it is tried again")


def test_no_process_for_another_exporter(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process")), install("spawn"), install("exits")
    spawn(spawner, 101, program)
    with limited("pids") as limit:
        limit.hold(daemon.supervisor)
        limit.set(1)
        dead = daemon.exporter
        daemon.kill_exporter()
        line = daemon.wait_for_log("no exporter can be started: Resource temporarily unavailable (EAGAIN)")
        assert "starting a new one in" in line
        spawn(spawner, 103, program)
        limit.set(UNLIMITED)
        another_exporter(daemon, dead)
    page = daemon.scrape()
    assert page.value("probed_exporter_restarts_total") == 1
    assert page.total(EXECS, comm=program.name) == 101 + 103
    assert page.emitted("process") == page.accounted("process")
    assert page.lost("process") == 0


def wait_for_ring(daemon: FastDaemon, size: int) -> None:
    until(lambda: daemon.scrape().value("probed_ring_bytes", probe="misfit") == size, "it is loaded")


def test_no_descriptor_in_the_supervisor(start_fast: StartFast, install: Install) -> None:
    """At each limit another step of the reload is the first to fail."""
    daemon, spawner, program = start_fast(ours("process", "misfit")), install("spawn"), install("exits")
    base = len(open_files(daemon.supervisor))
    for number, spare in enumerate((1, 3, 6, 8, 12, 16), 1):
        ring = 1 << 16 + number
        with few_files(daemon.supervisor, base + spare):
            page = daemon.reload(ours("process", misfit={"ring": {"bytes": ring}}))
            spawn(spawner, 11, program)
            assert daemon.scrape().total(EXECS, comm=program.name) == 11 * number
        if page.value(SUCCESSFUL) == 0:
            page = daemon.reload()
        assert page.value(SUCCESSFUL) == 1, spare
        wait_for_ring(daemon, ring)
    assert "too many files are open here: raise LimitNOFILE=" in daemon.log()
    assert "Traceback" not in daemon.log()
    until(lambda: len(open_files(daemon.supervisor)) == base, "no descriptor is left behind")


def test_no_descriptor_in_the_supervisor_for_another_exporter(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process")), install("spawn"), install("exits")
    dead = daemon.exporter
    with few_files(daemon.supervisor, len(open_files(daemon.supervisor)) - 2):
        daemon.kill_exporter()
        daemon.wait_for_log("no exporter can be started: Too many open files (EMFILE)")
        spawn(spawner, 101, program)
    another_exporter(daemon, dead)
    assert daemon.scrape().total(EXECS, comm=program.name) == 101


def test_no_descriptor_in_the_exporter_for_another_probe(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process")), install("spawn"), install("exits")
    exporter = daemon.exporter
    with few_files(exporter, len(open_files(exporter)) + 2):
        daemon.configure(ours("process", "misfit"))
        daemon.hang_up()
        line = daemon.wait_for_log("probe 'misfit' is left out until a restart: Too many open files (EMFILE)")
        assert "LimitNOFILE=" in line
        spawn(spawner, 101, program)
    page = daemon.scrape()
    assert (daemon.exporter, page.total(EXECS, comm=program.name)) == (exporter, 101)
    assert page.value(COLLECT_FAILURES, probe="misfit") > 0
    assert (page.value(UP, probe="misfit"), page.value(UP, probe="process")) == (0, 1)
    assert "LimitNOFILE=" in daemon.get("/")[1].decode()
    daemon.kill_exporter()
    another_exporter(daemon, exporter)
    page = daemon.scrape()
    assert ("probed_events_emitted_total", frozenset({("probe", "misfit")})) in page
    assert (page.value(COLLECT_FAILURES, probe="misfit"), page.value(UP, probe="misfit")) == (0, 1)
    assert page.total(EXECS, comm=program.name) == 101


def test_no_memory_file_may_grow(tmp_path: Path) -> None:
    """A hard limit of file sizes that only CAP_SYS_RESOURCE could raise."""
    with Daemon(tmp_path, site({"process": None}), (), ("prlimit", "--fsize=1048576:1048576", *UNIT)) as daemon:
        until(
            lambda: "probe 'process' is left out until a restart: File too large (EFBIG)" in daemon.log(), "it says so"
        )
        assert "raise LimitFSIZE= of the unit, ulimit -f" in daemon.log()
        until(lambda: daemon.get("/-/ready") == (503, UNREADY), "it is not ready")
        assert daemon.scrape().value(UP, probe="process") == 0
        assert "LimitFSIZE=" in daemon.get("/")[1].decode()


@pytest.mark.parametrize("files", [36, 48])
def test_few_files_at_the_start(tmp_path: Path, files: int) -> None:
    """A hard limit of open files: the page tells which probes are served."""
    with Daemon(tmp_path, site(), (), ("prlimit", f"--nofile={files}:{files}", *UNIT)) as daemon:
        until(lambda: "LimitNOFILE=" in daemon.log() and "of 4 probes up" in daemon.log(), "it says so")
        page = daemon.scrape()
        up = {probe for probe in SHIPPED if page.value(UP, probe=probe)}
        assert up < SHIPPED.keys()
        assert {probe for probe in SHIPPED if page.value("probed_probe_start_time_seconds", probe=probe)} == up
        assert daemon.get("/-/ready")[0] == (200 if up else 503)


def test_more_clients_than_descriptors(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process")), install("spawn"), install("exits")
    exporter = daemon.exporter
    with few_files(exporter, len(open_files(exporter)) + 3), ExitStack() as clients:
        for _ in range(23):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
        spawn(spawner, 101, program)
        until(lambda: len(open_files(exporter)) > 0, "it lives")
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101
    assert (daemon.exporter, page.value("probed_exporter_restarts_total")) == (exporter, 0)


def test_no_memory_for_a_loader(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process", "misfit")), install("spawn"), install("exits")
    with limited("memory") as limit:
        limit.set(24 << 20)
        limit.hold(daemon.supervisor)
        daemon.configure(ours("process", misfit=LARGER))
        daemon.hang_up()
        line = daemon.wait_for_log("it was killed by SIGKILL")
        assert "probe 'misfit'" in line
        spawn(spawner, 101, program)
        page = daemon.scrape()
        assert page.total(EXECS, comm=program.name) == 101
        until(lambda: daemon.failures("misfit").get("internal"), "the page says so")
        limit.set(UNLIMITED)
        until(lambda: daemon.scrape().value("probed_ring_bytes", probe="misfit") == 1 << 20, "it is tried again")
    assert daemon.scrape().total(EXECS, comm=program.name) == 101


def test_no_memory_for_the_exporter(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process")), install("spawn"), install("exits")
    dead = daemon.exporter
    spawn(spawner, 101, program)
    with limited("memory") as limit:
        limit.hold(dead)
        limit.set(1 << 20)
        while daemon.exporter == dead:
            spawn(spawner, 103, install("exits"))  # a new name needs new series
            with suppress(OSError, HTTPException):
                daemon.get("/metrics")
    another_exporter(daemon, dead)
    assert "the exporter was killed by SIGKILL" in daemon.log()
    spawn(spawner, 103, program)
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101 + 103
    assert page.emitted("process") == page.accounted("process")
    assert page.value("probed_exporter_restarts_total") == 1


def test_an_exporter_that_stands_still(start_fast: StartFast, install: Install) -> None:
    daemon, spawner, program = start_fast(ours("process")), install("spawn"), install("exits")
    dead = daemon.exporter
    until(lambda: daemon.scrape().value("probed_drains_total") > 2, "it has shown signs of life")
    os.kill(dead, signal.SIGSTOP)
    spawn(spawner, 101, program)
    daemon.wait_for_log("the exporter has shown no sign of life for 4 s: killing it")
    another_exporter(daemon, dead)
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101
    assert page.value("probed_exporter_restarts_total") == 1
    assert (page.emitted("process"), page.lost("process")) == (page.accounted("process"), 0)
