# SPDX-License-Identifier: Apache-2.0
"""probed as a service of a real systemd counts exactly with two capabilities, and stops in order."""

from __future__ import annotations

import re

import pytest

from support.bpf_objects import GET_NEXT_ID, exists
from support.processes import bpf_program_ids, status_of
from support.running_daemon import SHIPPED, until
from support.system.machine import Machine, Service

CAP_PERFMON, CAP_BPF = 38, 39

EXECS = "probed_process_execs_total"
LIFETIMES = "probed_process_lifetime_seconds_count"

AS_ROOT = {
    "User": "root",
    "Group": "root",
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "~",
    "SystemCallFilter": "",  # the supervisor sets the exporter's user
}


def capabilities(service: Service, kind: str) -> set[int]:
    """Return a capability set of each process of the service as a mask."""
    return {int(status_of(pid)[kind], 16) for pid in service.processes()}


def test_every_probe_is_up_with_two_capabilities(probed: Service) -> None:
    page = probed.scrape()
    assert {probe: page.value("probed_probe_up", probe=probe) for probe in SHIPPED} == dict.fromkeys(SHIPPED, 1)


def test_no_process_has_more_than_the_two_capabilities(probed: Service) -> None:
    two = 1 << CAP_PERFMON | 1 << CAP_BPF
    assert capabilities(probed, "CapEff") == {two, 0}
    assert capabilities(probed, "CapBnd") == {two}


def test_the_programs_show_themselves(probed: Service) -> None:
    told = {int(dict(labels)["id"]) for name, labels in probed.scrape() if name == "probed_program_info"}
    assert told == set[int]().union(*map(bpf_program_ids, probed.processes()))


def test_no_process_is_root_or_can_become_it(probed: Service) -> None:
    statuses = [status_of(pid) for pid in probed.processes()]
    assert [status["NoNewPrivs"] for status in statuses] == ["1", "1"]
    assert all("0" not in status[ids].split() for status in statuses for ids in ("Uid", "Gid", "Groups"))


def test_101_processes_of_a_unit_are_101(machine: Machine, probed: Service) -> None:
    spawner, program = machine.install("spawn"), machine.install("exits")
    before = probed.scrape()
    assert machine.transient(spawner, "101", program) == "0 101\n"
    after = probed.scrape()
    assert after.by("parent", EXECS, comm=program.name) == {spawner.name: 101}
    assert after.by("exit", LIFETIMES, comm=program.name) == {"ok": 101}
    assert after.lost("process") == before.lost("process")
    assert after.emitted("process") == after.accounted("process")


@pytest.mark.parametrize(("port", "settings"), [(9801, {}), (9802, AS_ROOT)], ids=["two capabilities", "root"])
def test_stop_ends_it_with_0_and_leaves_no_program_and_no_map(
    machine: Machine, port: int, settings: dict[str, str]
) -> None:
    service = Service(machine, port, settings).wait_until_ready()
    ours = service.bpf_ids()
    assert {kind for kind, _ in ours} == set(GET_NEXT_ID)
    assert all(map(exists, ours))
    assert service.stop() == ("success", "0")
    until(lambda: not any(map(exists, ours)), "no program and no map of ours is left")


def test_the_service_is_started_with_attached_probes_and_a_status_line(machine: Machine) -> None:
    service = Service(machine, 9803)
    page = service.scrape()
    assert {probe: page.value("probed_probe_up", probe=probe) for probe in SHIPPED} == dict.fromkeys(SHIPPED, 1)
    assert re.fullmatch(r"4 probes up, [1-9][0-9]* series, 0 lost", service.show("StatusText"))
    assert service.stop() == ("success", "0")


def test_systemctl_reloads_the_service(machine: Machine) -> None:
    service = Service(machine, 9804).wait_until_ready()
    name = "probed_config_last_reload_success_timestamp_seconds"
    before = service.scrape().value(name)
    machine.run("systemctl", "reload", service.unit)
    until(lambda: service.scrape().value(name) > before, "it has reloaded")
    assert service.scrape().value("probed_config_last_reload_successful") == 1
    assert service.stop() == ("success", "0")
