# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes in a real container: runc, the DaemonSet's capabilities, user, mounts, seccomp profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cgroup2 import Cgroups, run_in
from support.running_daemon import SHIPPED, status_of
from support.system.container import Container
from support.system.rootfs import rootfs
from support.workload_programs import compile_workloads, fresh_letters, install

EXECS = "probed_process_execs_total"
TWO_CAPABILITIES = 1 << 38 | 1 << 39  # CAP_PERFMON and CAP_BPF, linux/capability.h


@pytest.fixture(scope="module")
def group() -> Iterator[Path]:
    """A unit's control group, older than the container."""
    with Cgroups() as cgroups:
        yield cgroups.make(f"system.slice/older-{fresh_letters()}.service")


@pytest.fixture(scope="module")
def container(group: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container for all tests."""
    assert group.exists()
    with Container(rootfs(), tmp_path_factory.mktemp("container")) as started:
        yield started.wait_until_ready()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Installs a program under a fresh name."""
    folder = tmp_path_factory.mktemp("programs")
    compile_workloads(folder, "exits")
    return lambda: install(folder, "exits")


def test_every_probe_comes_up(container: Container) -> None:
    assert container.scrape().by("probe", "probed_probe_up") == dict.fromkeys(SHIPPED, 1)


def test_the_supervisor_has_the_two_capabilities_and_the_exporter_none(container: Container) -> None:
    states = [status_of(pid) for pid in container.pids]
    assert [int(state["CapPrm"], 16) for state in states] == [TWO_CAPABILITIES, 0]
    assert [int(state["CapBnd"], 16) & ~TWO_CAPABILITIES for state in states] == [0, 0]


def test_no_process_is_root_or_can_gain_privileges(container: Container) -> None:
    states = [status_of(pid) for pid in container.pids]
    assert [state["Uid"].split() for state in states] == [["9788"] * 4] * 2
    assert [(state["NoNewPrivs"], state["Seccomp"]) for state in states] == [("1", "2")] * 2


def test_a_unit_of_the_host_older_than_the_container_is_named(
    container: Container, group: Path, program: Callable[[], Path]
) -> None:
    started = program()
    run_in(group, started)
    assert container.scrape().by("unit", EXECS, comm=started.name) == {group.name: 1}


def test_a_unit_of_the_host_that_comes_later_is_named(container: Container, program: Callable[[], Path]) -> None:
    with Cgroups() as cgroups:
        later, started = cgroups.make(f"system.slice/later-{fresh_letters()}.service"), program()
        run_in(later, started)
        assert container.scrape().by("unit", EXECS, comm=started.name) == {later.name: 1}


def test_a_process_in_the_container_has_the_container_as_its_unit(container: Container) -> None:
    before = container.scrape().by("unit", EXECS, comm="uname")
    container.run("uname")
    unit = f"cri:{container.number[:12]}"
    assert container.scrape().by("unit", EXECS, comm="uname")[unit] == before.get(unit, 0) + 1


def test_sigterm_ends_it_cleanly(container: Container) -> None:
    assert container.stop() == 0
