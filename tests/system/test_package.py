# SPDX-License-Identifier: Apache-2.0
"""The Debian package under a real systemd works, reloads, stops, and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bpf_objects import exists
from support.kernel_fixtures import OWN_PROBES
from support.running_daemon import ROOT, SHIPPED, until
from support.system.machine import Machine
from support.system.package import Installed, build
from support.system.rootfs import rootfs, suite
from support.workload_programs import fresh_letters

PERF_EVENTS = ROOT / "packaging/systemd/perf-events.conf"
CONFIGURATION = "/etc/probed/probed.yaml"
EXECS = "probed_process_execs_total"
LIFETIMES = "probed_process_lifetime_seconds_count"
SUCCESSFUL = "probed_config_last_reload_successful"

SITE_C = """\
#include "probed.bpf.h"

struct program {
	char comm[16];
};

BPF_PERCPU_HASH(begun, struct program, u64, 1024);

PROGRAM(on_exec)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct program program = {};
	u64 zero = 0;

	READ_ARRAY(program.comm, task, comm);
	add_to_count(begun.lookup_or_try_init(&program, &zero), 1);
	return 0;
}
"""

SITE_YAML = """\
description: Which programs begin.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
metrics:
  probed_begun_total:
    type: counter
    help: Programs that began.
    maps: [begun]
    labels:
      comm: {field: comm, decoder: comm}
"""

SUITES = tuple(dict.fromkeys((suite(), "trixie")))
"""This machine's Debian, and the newest stable one."""

NOTES = (
    "/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-",
    "/tmp/", "/var/cache/apt/", "/var/lib/apt/", "/var/lib/dpkg/", "/var/lib/systemd/", "/var/log/", "/var/tmp/",
)  # fmt: skip
"""Paths that apt, dpkg, systemd and the user database write for any package."""


@pytest.fixture(scope="module")
def deb() -> Path:
    """The package of this tree."""
    return build()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Machine]:
    """A fresh machine for one test."""
    with Machine(rootfs(), tmp_path) as booted:
        yield booted.wait_until_up()


@pytest.fixture(scope="module", params=SUITES)
def probed(request: pytest.FixtureRequest, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The installed service, in a machine of each suite for the tests of this file."""
    with Machine(rootfs(request.param), tmp_path_factory.mktemp("package")) as booted:
        yield Installed(booted.wait_until_up(), deb).wait_until_ready()


def files(machine: Machine) -> set[str]:
    """Return the paths of all files and folders in a machine's file system."""
    found = machine.run("find", "/", "-xdev", "-path", "/out", "-prune", "-o", "-printf", "%p\\n").splitlines()
    return {path for path in found if not f"{path}/".startswith(NOTES)}


def configuration(probed: Installed) -> str:
    return probed.machine.run("cat", CONFIGURATION)


def reload_with(probed: Installed, text: str, successful: bool) -> None:
    """Write the site configuration, reload, and wait for success or failure."""
    probed.machine.write(CONFIGURATION, text)
    before = probed.scrape().value("probed_config_last_reload_success_timestamp_seconds")
    probed.machine.run("systemctl", "reload", probed.unit)
    if successful:
        name = "probed_config_last_reload_success_timestamp_seconds"
        until(lambda: probed.scrape().value(name) > before, "the reload has succeeded")
    else:
        until(lambda: probed.scrape().value(SUCCESSFUL) == 0, "the reload has failed")


def test_the_service_starts_with_the_machine_and_every_shipped_probe_is_up(probed: Installed) -> None:
    page = probed.scrape()
    assert {probe: page.value("probed_probe_up", probe=probe) for probe in SHIPPED} == dict.fromkeys(SHIPPED, 1)
    assert probed.machine.run("systemctl", "is-enabled", probed.unit) == "enabled\n"
    assert probed.machine.show(probed.unit, "User") == "probed"


def test_every_user_can_run_the_command(probed: Installed) -> None:
    machine = probed.machine
    listed = machine.run("setpriv", "--reuid=nobody", "--clear-groups", "probed", "list")
    names = {line.partition(":")[0] for line in listed.splitlines() if line[:1].strip()}
    assert names == {*SHIPPED, "execs", "exits", "opens"}
    assert machine.run("probed", "check", "--host").count("(attaches here)") == 13


def test_101_processes_of_a_unit_are_101(probed: Installed) -> None:
    machine = probed.machine
    unit, spawner, program = f"test-{fresh_letters()}.service", machine.install("spawn"), machine.install("exits")
    assert machine.transient("--unit", unit, spawner, "101", program) == "0 101\n"
    page = probed.scrape()
    assert page.by("parent", EXECS, comm=program.name) == {spawner.name: 101}
    assert page.by("unit", EXECS, comm=program.name) == {unit: 101}
    assert page.by("exit", LIFETIMES, comm=program.name) == {"ok": 101}
    assert page.emitted("process") == page.accounted("process")


def test_a_reload_with_a_mistake_changes_nothing_and_the_next_one_recovers(probed: Installed) -> None:
    machine, good = probed.machine, configuration(probed)
    program = machine.install("exits")
    machine.transient(program)
    reload_with(probed, f"{good}\nseris:\n", successful=False)
    assert "seris: unknown key; did you mean 'series'?" in probed.log_tail()
    machine.transient(program)
    assert probed.scrape().by("comm", EXECS, comm=program.name) == {program.name: 2}
    reload_with(probed, good, successful=True)
    assert probed.scrape().by("comm", EXECS, comm=program.name) == {program.name: 2}


def test_a_probe_of_the_site_counts_beside_the_shipped_ones(probed: Installed) -> None:
    machine, before = probed.machine, configuration(probed)
    machine.write("/etc/probed/probes.d/begun/begun.bpf.c", SITE_C)
    machine.write("/etc/probed/probes.d/begun/begun.yaml", SITE_YAML)
    machine.run("probed", "check", "--host", "/etc/probed/probes.d")
    reload_with(probed, before.replace("\nprobes:\n", "\nprobes:\n  begun:\n"), successful=True)
    program = machine.install("exits")
    machine.transient(machine.install("spawn"), "101", program)
    page = probed.scrape()
    assert page.value("probed_begun_total", comm=program.name) == 101
    assert page.by("comm", EXECS, comm=program.name) == {program.name: 101}


def test_a_perf_event_takes_the_drop_in(fresh: Machine, deb: Path) -> None:
    """Debian's kernels also want kernel.perf_event_paranoid at 2, which is the setting of this machine's kernel."""
    probed = Installed(fresh, deb).wait_until_ready()
    for file in (OWN_PROBES / "page_faults").iterdir():
        fresh.write(f"/etc/probed/probes.d/page_faults/{file.name}", file.read_text())
    reload_with(probed, configuration(probed).replace("\nprobes:\n", "\nprobes:\n  page_faults:\n"), successful=False)
    assert probed.scrape().value("probed_probe_up", probe="page_faults") == 0
    assert "in the unit the drop-in perf-events.conf" in probed.log_tail()
    fresh.write(f"/etc/systemd/system/{probed.unit}.d/{PERF_EVENTS.name}", PERF_EVENTS.read_text())
    fresh.run("systemctl", "daemon-reload")
    fresh.run("systemctl", "restart", probed.unit)
    probed.wait_until_ready()
    program = fresh.install("page_touches")
    fresh.transient(program, "101")
    page = probed.scrape()
    assert page.by("probe", "probed_probe_up") == dict.fromkeys((*SHIPPED, "page_faults"), 1)
    assert max(page.by("address", "probed_page_faults_total", comm=program.name).values()) == 101


def test_stop_leaves_nothing_in_the_kernel(probed: Installed) -> None:
    things = probed.bpf_ids()
    assert {kind for kind, _ in things} == {"prog_id", "map_id"}
    assert probed.stop() == ("success", "0")
    until(lambda: not any(map(exists, things)), "no program and no map of ours is left")
    probed.machine.run("systemctl", "start", probed.unit)
    probed.wait_until_ready()


def without_bcc(machine: Machine) -> None:
    """Remove BCC with LLVM and clang, as an administrator does who wants none of them."""
    machine.run("apt-mark", "manual", "libbpf1")
    machine.run("apt-get", "purge", "--yes", "--autoremove", "python3-bpfcc")
    machine.write("/etc/apt/apt.conf.d/without-recommends", 'APT::Install-Recommends "false";\n')
    assert (
        machine.run("find", "/usr", "(", "-name", "libbcc*", "-o", "-name", "libLLVM*", "-o", "-name", "*clang*", ")")
        == ""
    )


def test_without_bcc_counts_stay_exact_over_reload_restart_and_kill(fresh: Machine, deb: Path) -> None:
    without_bcc(fresh)
    probed = Installed(fresh, deb).wait_until_ready()
    page, spawner, program = probed.scrape(), fresh.install("spawn"), fresh.install("exits")
    assert {probe: page.value("probed_probe_info", probe=probe, loader="core") for probe in SHIPPED} == dict.fromkeys(
        SHIPPED, 1
    )
    good = configuration(probed)
    reload_with(probed, good.replace("fold_defaults: true", "fold_defaults: false"), successful=True)
    fresh.transient(spawner, "101", program)
    probed.restart()
    fresh.transient(spawner, "103", program)
    fresh.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", probed.unit)
    fresh.transient(spawner, "107", program)
    state = ("NRestarts", "ActiveState")
    until(lambda: tuple(map(probed.show, state)) == ("1", "active"), "systemd has started probed again")
    page = probed.wait_until_ready().scrape()
    assert page.by("comm", EXECS, comm=program.name) == {program.name: 101 + 103 + 107}
    assert page.by("exit", LIFETIMES, comm=program.name) == {"ok": 101 + 103 + 107}


def test_without_bcc_a_probe_without_an_object_says_what_it_needs(fresh: Machine, deb: Path) -> None:
    without_bcc(fresh)
    probed = Installed(fresh, deb).wait_until_ready()
    fresh.write("/etc/probed/probes.d/begun/begun.bpf.c", SITE_C)
    fresh.write("/etc/probed/probes.d/begun/begun.yaml", SITE_YAML)
    said = fresh.enter("probed", "check", "/etc/probed/probes.d").stderr
    assert "apt install python3-bpfcc, or build objects elsewhere with 'probed build'" in said
    reload_with(probed, configuration(probed).replace("\nprobes:\n", "\nprobes:\n  begun:\n"), successful=False)
    page = probed.scrape()
    up = {probe: page.value("probed_probe_up", probe=probe) for probe in (*SHIPPED, "begun")}
    assert up == dict.fromkeys(SHIPPED, 1) | {"begun": 0}
    assert "apt install python3-bpfcc" in probed.log_tail()


def test_remove_ends_the_service_and_keeps_the_configuration(fresh: Machine, deb: Path) -> None:
    probed = Installed(fresh, deb).wait_until_ready()
    things = probed.bpf_ids()
    fresh.run("apt-get", "remove", "--yes", "probed")
    until(lambda: not any(map(exists, things)), "no program and no map of ours is left")
    left = fresh.run("find", "/usr", "/etc", "/lib/systemd", "-path", "*probed*").split()
    assert set(left) == {"/etc/probed", CONFIGURATION, "/etc/systemd/system/multi-user.target.wants/probed.service"}


def test_purge_leaves_nothing(fresh: Machine, deb: Path) -> None:
    before = files(fresh)
    probed = Installed(fresh, deb).wait_until_ready()
    things = probed.bpf_ids()
    fresh.run("probed", "list")
    fresh.run("apt-get", "purge", "--yes", "probed")
    assert files(fresh) - before == set()
    assert before - files(fresh) == set()
    until(lambda: not any(map(exists, things)), "no program and no map of ours is left")
    assert fresh.run("systemctl", "list-units", "--all", "--no-legend", "probed*") == ""
