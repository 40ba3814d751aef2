# SPDX-License-Identifier: Apache-2.0
"""Supervisor and exporter end without losing counts or leaving programs in the kernel."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from support.bpf_objects import GET_NEXT_ID, exists
from support.kernel_fixtures import Install, Start
from support.processes import bpf_ids, status_of
from support.running_daemon import Daemon, until


def held_objects(daemon: Daemon) -> set[tuple[str, int]]:
    objects = bpf_ids(daemon.supervisor)
    assert {kind for kind, _ in objects} == set(GET_NEXT_ID)
    assert all(map(exists, objects))
    return objects


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_ends_the_daemon_and_leaves_no_program_behind(start: Start, number: signal.Signals) -> None:
    daemon = start()
    exporter, objects = daemon.exporter, held_objects(daemon)
    daemon.process.send_signal(number)
    assert daemon.process.wait(30) == 0
    assert not status_of(exporter)
    until(lambda: not any(map(exists, objects)), "no program and no map of ours is left")


def test_the_exporter_drains_once_more_at_its_end(start: Start, install: Install) -> None:
    daemon = start()
    before = sum(daemon.scrape().by("probe", "probed_events_delivered_total").values())
    subprocess.run([install("spawn"), "101", install("exits")], check=True, stdout=subprocess.DEVNULL)
    log = daemon.stop()
    delivered = next(int(word) for word in log.split("stopped:")[-1].split() if word.isdigit())
    assert delivered >= before + 2 * 101


def test_the_next_exporter_counts_the_events_of_the_gap(start: Start, install: Install) -> None:
    daemon, program = start(), install("exits")
    dead = daemon.exporter
    os.kill(daemon.supervisor, signal.SIGSTOP)
    os.kill(dead, signal.SIGKILL)
    until(lambda: status_of(dead)["State"].startswith("Z"), "the exporter is dead")
    subprocess.run([install("spawn"), "1009", program], check=True, stdout=subprocess.DEVNULL)
    os.kill(daemon.supervisor, signal.SIGCONT)
    until(lambda: daemon.exporter not in (0, dead) and daemon.is_ready(), "there is another exporter")
    page = daemon.scrape()
    assert page.total("probed_process_execs_total", comm=program.name) == 1_009
    assert page.total("probed_process_lifetime_seconds_count", comm=program.name) == 1_009
    assert page.value("probed_exporter_restarts_total") == 1
    assert {probe: page.lost(probe) for probe in ("process", "open_failures", "syscalls")} == {
        "process": 0, "open_failures": 0, "syscalls": 0,
    }  # fmt: skip
    assert all(page.emitted(probe) == page.accounted(probe) for probe in ("process", "open_failures", "syscalls"))


def test_kernel_maps_keep_their_counts_when_the_exporter_dies(start: Start, install: Install) -> None:
    daemon = start()
    subprocess.run([install("spawn"), "101", install("exits")], check=True, stdout=subprocess.DEVNULL)
    dead, before = daemon.exporter, daemon.scrape()
    os.kill(dead, signal.SIGKILL)
    until(lambda: daemon.exporter not in (0, dead) and daemon.is_ready(), "there is another exporter")
    after = daemon.scrape()
    for name in ("probed_opens_total", "probed_syscalls_total"):
        assert after.total(name) >= before.total(name) > 0, name


def test_the_exporter_does_not_outlive_the_supervisor(start: Start) -> None:
    daemon = start()
    exporter, objects = daemon.exporter, held_objects(daemon)
    daemon.process.kill()
    daemon.process.wait()
    until(lambda: status_of(exporter).get("State", "Z").startswith("Z"), "the exporter has ended")
    until(lambda: not any(map(exists, objects)), "no program and no map of ours is left")
