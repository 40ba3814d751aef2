# SPDX-License-Identifier: Apache-2.0
"""The label `unit` under a real systemd names units of any lifetime."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running_daemon import Page
from support.system.machine import Machine, Service
from support.workload_programs import fresh_letters

EXECS = "probed_process_execs_total"
LIFETIMES = "probed_process_lifetime_seconds_count"

PORT = 9806

USER = "somebody"
UID = 1000

CONTAINERS = {
    "Docker": ("system.slice", "docker-{id}.scope", "docker:{short}"),
    "Podman": ("machine.slice", "libpod-{id}.scope", "podman:{short}"),
    "containerd": ("kubepods-besteffort.slice", "cri-containerd-{id}.scope", "cri:{short}"),
    "CRI-O": ("kubepods-burstable.slice", "crio-{id}.scope", "cri:{short}"),
}


def fresh(kind: str) -> str:
    """Return a fresh name for a unit."""
    return f"test-{fresh_letters()}.{kind}"


def cgroup(machine: Machine, path: str) -> Path:
    """Return the path of a control group of the system as seen from outside."""
    return machine.root / "sys/fs/cgroup" / path


def units(page: Page, program: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return a program's execs and ends by unit."""
    return page.by("unit", EXECS, comm=program.name), page.by("unit", LIFETIMES, comm=program.name)


def once(unit: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the value of `units` for one process in one unit."""
    return {unit: 1}, {unit: 1}


@pytest.fixture(scope="module")
def probed(machine: Machine) -> Iterator[Service]:
    """A daemon for these tests alone: in a shared one, names of other tests may hold all rows."""
    service = Service(machine, PORT).wait_until_ready()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def user(machine: Machine) -> str:
    """A user with a running systemd user manager."""
    machine.run("useradd", "--uid", str(UID), "--create-home", USER)
    machine.run("systemctl", "start", f"user@{UID}.service")
    return USER


def test_a_transient_unit_that_lives_for_milliseconds_is_named(machine: Machine, probed: Service) -> None:
    unit, program = fresh("service"), machine.install("exits")
    probed.scrape()
    machine.transient("--unit", unit, program)
    assert not cgroup(machine, f"system.slice/{unit}").exists()
    assert units(probed.scrape(), program) == once(unit)


def test_101_transient_units_between_two_scrapes_are_told_apart(machine: Machine, probed: Service) -> None:
    program, names = machine.install("exits"), [fresh("service") for _ in range(101)]
    script = f"for unit in {' '.join(names)}; do systemd-run --quiet --collect --wait --unit $unit {program}; done"
    machine.run("sh", "-ec", script)
    assert units(probed.scrape(), program) == (dict.fromkeys(names, 1), dict.fromkeys(names, 1))


def test_a_child_has_the_unit_of_its_parent(machine: Machine, probed: Service) -> None:
    unit, spawner, program = fresh("service"), machine.install("spawn"), machine.install("exits")
    machine.transient("--unit", unit, spawner, "101", program)
    assert units(probed.scrape(), program) == ({unit: 101}, {unit: 101})


def test_a_scope_is_named(machine: Machine, probed: Service) -> None:
    around, scope, program = fresh("service"), fresh("scope"), machine.install("exits")
    machine.transient("--unit", around, "systemd-run", "--quiet", "--scope", "--unit", scope, program)
    assert units(probed.scrape(), program) == once(scope)


def test_a_unit_in_a_slice_is_named_as_any(machine: Machine, probed: Service) -> None:
    unit, program = fresh("service"), machine.install("exits")
    machine.transient("--unit", unit, "--slice", f"test-{fresh_letters()}.slice", program)
    assert units(probed.scrape(), program) == once(unit)


def test_a_cgroup_below_a_unit_has_the_name_of_the_unit(machine: Machine, probed: Service) -> None:
    unit, program = fresh("service"), machine.install("exits")
    below = f"/sys/fs/cgroup/system.slice/{unit}/workers"
    script = f"mkdir {below}; echo 0 > {below}/cgroup.procs; exec {program}"
    machine.transient("--unit", unit, "--property", "Delegate=yes", "sh", "-ec", script)
    assert units(probed.scrape(), program) == once(unit)


def test_an_instance_of_a_template_is_named(machine: Machine, probed: Service) -> None:
    name, program = fresh_letters(), machine.install("exits")
    machine.write(f"/run/systemd/system/test-{name}@.service", f"[Service]\nType=oneshot\nExecStart={program}\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", rf"test-{name}@a\x2db.service")
    assert units(probed.scrape(), program) == once(rf"test-{name}@a\x2db.service")


def test_a_users_service_is_named_behind_the_users_manager(machine: Machine, probed: Service, user: str) -> None:
    unit, program = fresh("service"), machine.install("exits")
    machine.write(f"/etc/systemd/user/{unit}", f"[Service]\nType=oneshot\nExecStart={program}\n")
    environment = f"--setenv=XDG_RUNTIME_DIR=/run/user/{UID}"
    machine.transient("--uid", user, environment, "systemctl", "--user", "start", unit)
    assert units(probed.scrape(), program) == once(f"user@{UID}.service/{unit}")


def test_names_that_systemd_makes_up_are_folded(machine: Machine, probed: Service) -> None:
    program = machine.install("exits")
    machine.transient(program)
    machine.transient(program)
    for _ in range(3):
        machine.transient("--unit", f"test-{secrets.token_hex(16)}.service", program)
    assert units(probed.scrape(), program)[1] == {"run-*.service": 2, "test-*.service": 3}


@pytest.mark.parametrize("runtime", CONTAINERS)
def test_a_scope_of_a_container_is_the_container(machine: Machine, probed: Service, runtime: str) -> None:
    number, program = secrets.token_hex(32), machine.install("exits")
    parent, scope, label = (text.format(id=number, short=number[:12]) for text in CONTAINERS[runtime])
    machine.transient("systemd-run", "--quiet", "--scope", "--slice", parent, "--unit", scope, program)
    assert units(probed.scrape(), program) == once(label)


def test_a_unit_older_than_probed_is_named(machine: Machine) -> None:
    unit, gate, program = fresh("service"), f"/run/{secrets.token_hex(4)}", machine.install("exits")
    machine.run("mkfifo", gate)
    machine.run("systemd-run", "--quiet", "--collect", "--unit", unit, "sh", "-ec", f"read line < {gate}; {program}")
    probed = Service(machine, 9805).wait_until_ready()
    machine.run("sh", "-ec", f"echo go > {gate}; while systemctl is-active --quiet {unit}; do :; done")
    assert units(probed.scrape(), program) == once(unit)
    assert probed.stop() == ("success", "0")
