# SPDX-License-Identifier: Apache-2.0
"""The supervisor restarts a stuck exporter, systemd a stuck supervisor, and no event is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from support.running_daemon import until
from support.system.machine import Machine, Service

PORT = 9820
EXECS = "probed_process_execs_total"


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    service = Service(machine, PORT, {"WatchdogSec": "12s"}).wait_until_ready()
    yield service
    assert service.stop() == ("success", "0")


def test_an_exporter_that_stands_still_is_restarted_by_the_supervisor(machine: Machine, service: Service) -> None:
    exporter, supervisor = service.exporter, service.supervisor
    ours, spawner, program = service.bpf_ids(), machine.install("spawn"), machine.install("exits")
    service.kill(exporter, signal.SIGSTOP)
    assert machine.transient(spawner, "1009", program) == "0 1009\n"
    until(lambda: service.exporter not in (exporter, 0), "there is another exporter")
    service.wait_until_ready()
    page = service.scrape()
    assert page.value("probed_exporter_restarts_total") == 1
    assert page.by("parent", EXECS, comm=program.name) == {spawner.name: 1009}
    assert (service.supervisor, service.show("NRestarts")) == (supervisor, "0")
    assert service.bpf_ids() == ours
    assert "the exporter has shown no sign of life for 4 s" in service.log_tail()


def test_a_supervisor_that_stands_still_is_restarted_by_systemd(machine: Machine, service: Service) -> None:
    ours, spawner, program = service.bpf_ids(), machine.install("spawn"), machine.install("exits")
    service.kill(service.supervisor, signal.SIGSTOP)
    until(lambda: service.show("NRestarts") == "1", "systemd restarts it")
    assert machine.transient(spawner, "1009", program) == "0 1009\n"
    until(lambda: service.show("SubState") == "running", "it runs again")
    page = service.scrape()
    assert page.value("probed_exporter_restarts_total") == 0
    assert page.by("parent", EXECS, comm=program.name) == {spawner.name: 1009}
    assert service.bpf_ids() == ours
