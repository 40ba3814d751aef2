# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of exporter or loader at random instants under full load loses and doubles no event.

The supervisor waits ever longer before it restarts an exporter, so the first test assembles the supervisor's parts.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from itertools import count
from pathlib import Path

import pytest
import yaml

from probed.ipc import manifest
from probed.ipc.exporter_messages import ProbeStatus, Status
from probed.ipc.exporter_messages import Start as Starting
from probed.ipc.loader_messages import Files
from probed.ipc.loader_process import HookHandle, LoaderProcess, ProbeHandle, Result, SiteRead, wait
from probed.linux.privilege import exporter_user
from probed.supervisor.exporter_process import ExporterProcess
from probed.supervisor.hooks import Hooks
from probed.supervisor.systemd.fdstore import Store
from probed.webconfig.options import WebOptions
from support.kernel_fixtures import Install, Start
from support.running_daemon import PATIENCE, Daemon, Page, site, until

KILLS = 200
LONGEST = 0.9
"""Most seconds of an exporter's life; it is up after some 0.4 s, later under load."""

NARROW = {
    "cgroups": {},
    "process": {"ring": {"bytes": "4 KiB"}},
    "open_failures": {"ring": {"bytes": "4 KiB"}},
    "syscalls": {},
}
"""Rings that are full at once, so that most events count in slots and overflow maps."""


def load(folder: Path, hooks: Hooks) -> list[ProbeHandle]:
    """Load the probes, as the supervisor does."""
    configuration = folder / "probed.yaml"
    configuration.write_text(yaml.safe_dump(site(NARROW)))
    loading = LoaderProcess()
    loading.read(Files(str(configuration), "/sys/kernel/btf/vmlinux"))
    held = []
    while not loading.done:
        match wait(loading):
            case SiteRead() as reading:
                loading.load([wanted.request for wanted in reading.wanted.values()], "attach", {})
            case HookHandle() as hook:
                hooks.add(hook)
            case Result(_, ProbeHandle() as one):
                hooks.attach(one, "")
                held.append(one)
            case None:
                pass
            case other:
                pytest.fail(str(other))
    assert len(held) == len(NARROW)
    return held


class Life:
    """Exporters on the same rings, one after another."""

    def __init__(self, folder: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        start = Starting(manifest.VERSION, WebOptions(), exporter_user(None), "warning", "logfmt", PATIENCE)
        self._hooks = Hooks(Store(None), {})
        self._exporting = ExporterProcess(start, [self._listener], PATIENCE, self._hooks, lambda: None)
        self._held = load(folder, self._hooks)
        probes = tuple(ProbeStatus(name, "", True, "", "", {}) for name in NARROW)
        self._status = Status(probes, "", True, 0.0, 0)

    def born(self) -> None:
        self._exporting.launch(self._held, self._status)

    def killed(self) -> None:
        assert self._exporting.child is not None
        self._exporting.child.kill()
        self._exporting.child.reap(PATIENCE)
        self._exporting.child = None

    def has_all(self) -> bool:
        """Return whether the exporter has received every probe."""
        page = self.scrape()
        return all(("probed_events_emitted_total", frozenset({("probe", name)})) in page for name in NARROW)

    def scrape(self, timeout: float = PATIENCE) -> Page:
        port = self._listener.getsockname()[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout) as response:
            return Page.parse(response.read().decode())

    def end(self) -> None:
        for held in self._held:
            held.close()
        assert self._exporting.stop() == ""
        self._hooks.end()
        self._listener.close()


class Load:
    """A workload that a thread repeats until `stop`."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.rounds = 0
        self._arguments = arguments
        self._folder = folder
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._enough.is_set():
            subprocess.run(self._arguments, cwd=self._folder, check=True, stdout=subprocess.DEVNULL)
            self.rounds += 1

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()


@contextmanager
def scraping(life: Life) -> Iterator[None]:
    """Scrape continuously, since a scrape commits counts too."""
    enough = threading.Event()

    def scrape() -> None:
        while not enough.wait(0.01):
            with suppress(OSError, HTTPException):  # the exporter died meanwhile
                life.scrape(1.0)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_sigkill_at_any_instant_loses_nothing_and_doubles_nothing(install: Install, tmp_path: Path) -> None:
    program, opener = install("exits"), install("fail_opens")
    instants = random.Random(1_000_003)
    with ExitStack() as stack:
        life = Life(tmp_path)
        stack.callback(life.end)
        spawns = Load([str(install("spawn")), "1009", str(program)], tmp_path)
        stack.callback(spawns.stop)
        opens = Load([str(opener), "openat", "ENOENT", "200003"], tmp_path)
        stack.callback(opens.stop)
        with scraping(life):
            for _ in range(KILLS):
                life.born()
                threading.Event().wait(instants.uniform(0, LONGEST))
                life.killed()
        spawns.stop()
        opens.stop()
        life.born()
        until(life.has_all, "the last exporter has all probes")
        page = life.scrape()
        assert page.total("probed_open_failures_total", comm=opener.name, errno="ENOENT") == 200_003 * opens.rounds
        assert page.total("probed_process_execs_total", comm=program.name) == 1_009 * spawns.rounds
        assert page.total("probed_process_lifetime_seconds_count", comm=program.name) == 1_009 * spawns.rounds
        for probe in NARROW:
            assert (page.lost(probe), page.emitted(probe)) == (0, page.accounted(probe)), probe


def test_a_storm_before_the_first_exporter_is_all_counted(install: Install, tmp_path: Path) -> None:
    program, opener = install("exits"), install("fail_opens")
    life = Life(tmp_path)
    with ExitStack() as stack:
        stack.callback(life.end)
        subprocess.run([install("spawn"), "5003", program], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([opener, "openat", "ENOENT", "200003"], cwd=tmp_path, check=True)
        life.born()
        until(life.has_all, "the exporter has all probes")
        page = life.scrape()
        assert page.total("probed_open_failures_total", comm=opener.name, errno="ENOENT") == 200_003
        assert page.total("probed_process_execs_total", comm=program.name) == 5_003
        assert page.by("exit", "probed_process_lifetime_seconds_count", comm=program.name) == {"ok": 5_003}
        for probe in NARROW:
            assert (page.lost(probe), page.emitted(probe)) == (0, page.accounted(probe)), probe


LOADERS = 11


def test_a_loader_that_is_killed_at_a_reload_costs_no_event(start: Start, install: Install, tmp_path: Path) -> None:
    """The loader loads a new version of one probe; the others, and the older version after a failure, run on."""
    program, opener = install("exits"), install("fail_opens")
    instants = random.Random(1_000_003)
    daemon = start(site(NARROW))
    killed, numbers = 0, count()
    with ExitStack() as stack:
        spawns = Load([str(install("spawn")), "1009", str(program)], tmp_path)
        stack.callback(spawns.stop)
        opens = Load([str(opener), "openat", "ENOENT", "200003"], tmp_path)
        stack.callback(opens.stop)
        while killed < LOADERS:
            changed = {"metrics": {"probed_cgroups_made_total": {"series": 100 + next(numbers)}}}
            daemon.configure(site({**NARROW, "cgroups": changed}))
            daemon.process.send_signal(signal.SIGHUP)
            # Between 10 ms and 1 s: a loader lives for 0.2 s on a fast machine, for seconds on a busy one.
            threading.Event().wait(10 ** instants.uniform(-2, 0))
            for pid in [pid for pid, line in daemon.children().items() if "probed.loader" in line]:
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
    until(lambda: all(daemon.scrape().value("probed_probe_up", probe=probe) for probe in NARROW), "all probes are up")
    page = daemon.scrape()
    assert page.total("probed_open_failures_total", comm=opener.name, errno="ENOENT") == 200_003 * opens.rounds
    assert page.total("probed_process_execs_total", comm=program.name) == 1_009 * spawns.rounds
    assert page.total("probed_process_lifetime_seconds_count", comm=program.name) == 1_009 * spawns.rounds
    for probe in ("process", "open_failures", "syscalls"):
        assert (page.lost(probe), page.emitted(probe)) == (0, page.accounted(probe)), probe


def wait_for_another_exporter(daemon: Daemon, dead: int) -> None:
    until(lambda: daemon.exporter not in (0, dead) and daemon.is_ready(), "there is another exporter")


def test_counters_go_on_when_the_exporter_is_killed(start: Start, install: Install) -> None:
    daemon, program = start(), install("exits")
    for kills in (1, 2, 3):
        subprocess.run([install("spawn"), "101", program], check=True, stdout=subprocess.DEVNULL)
        before, dead = daemon.scrape(), daemon.exporter
        daemon.kill_exporter()
        wait_for_another_exporter(daemon, dead)
        page = daemon.scrape()
        assert page.total("probed_process_execs_total", comm=program.name) == 101 * kills
        assert page.total("probed_process_lifetime_seconds_count", comm=program.name) == 101 * kills
        for name in ("probed_opens_total", "probed_syscalls_total", "probed_process_lifetime_seconds_sum"):
            assert page.total(name) >= before.total(name) > 0, name
        assert page.value("probed_exporter_restarts_total") == kills
        assert page.value("process_start_time_seconds") == before.value("process_start_time_seconds")
        starts = page.by("probe", "probed_probe_start_time_seconds")
        assert starts == before.by("probe", "probed_probe_start_time_seconds")
        assert page.value("process_start_time_seconds") < min(starts.values())
        assert [page.value("probed_events_unaccounted", probe=probe) for probe in NARROW] == [0, 0, 0, 0]
