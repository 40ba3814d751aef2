# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes in a real container: runc, the DaemonSet's capabilities, user, mounts, seccomp profile.

Other pods are control groups and kubelet's folders, made in kubelet's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cgroup2 import Cgroups, run_in
from support.engines.kubelet import Pod, new_id
from support.processes import status_of
from support.running_daemon import SHIPPED, Page
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


def test_the_pod_answers_on_ipv4_and_ipv6(container: Container) -> None:
    assert container.get("/-/ready") == container.get("/-/ready", "[::1]") != ""


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
    assert execs(container.scrape(), started.name) == {(group.name, "", "", ""): 1}


def test_a_unit_of_the_host_that_comes_later_is_named(container: Container, program: Callable[[], Path]) -> None:
    with Cgroups() as cgroups:
        later, started = cgroups.make(f"system.slice/later-{fresh_letters()}.service"), program()
        run_in(later, started)
        assert execs(container.scrape(), started.name) == {(later.name, "", "", ""): 1}


def execs(page: Page, comm: str) -> dict[tuple[str, ...], float]:
    """Return the execs of a program by unit, namespace, pod and container."""
    names = ("unit", "namespace", "pod", "container")
    found = [(dict(labels), value) for (name, labels), value in page.items() if name == EXECS]
    return {tuple(labels[name] for name in names): value for labels, value in found if labels["comm"] == comm and value}


def run_as_container(container: Container, pod: Pod, name: str, *runs: Path) -> None:
    """Run programs in a container of a pod, and remove the control group; kubelet makes the link after the first."""
    with Cgroups() as cgroups:
        number = new_id()
        container.kubelet.make_log(pod, name)
        group = cgroups.make(pod.group(number))
        run_in(group, runs[0])
        container.kubelet.link(pod, name, number)
        for program in runs[1:]:
            run_in(group, program)


def test_a_process_in_the_container_has_the_names_of_its_pod(container: Container) -> None:
    names = ("cri", "probed", "probed-x7x2p", "probed")
    before = execs(container.scrape(), "uname").get(names, 0)
    container.run("uname")
    assert execs(container.scrape(), "uname")[names] == before + 1


def test_a_pod_that_came_and_went_between_two_scrapes_has_its_names(
    container: Container, program: Callable[[], Path]
) -> None:
    started = program()
    pod = container.kubelet.add_pod("shop", "backup-29403040-x7x2p")
    run_as_container(container, pod, "app", *[started] * 7)
    container.kubelet.remove(pod)
    assert execs(container.scrape(), started.name) == {("cri", "shop", "backup", "app"): 7}


def test_a_container_without_a_link_counts_to_its_pod_until_kubelet_makes_the_link(
    container: Container, program: Callable[[], Path]
) -> None:
    started, pod, number = program(), container.kubelet.add_pod("shop", "web-0"), new_id()
    with Cgroups() as cgroups:
        group = cgroups.make(pod.group(number))
        for _ in range(3):
            run_in(group, started)
        assert execs(container.scrape(), started.name) == {("cri", "shop", "web-0", ""): 3}
        container.kubelet.link(pod, "app", number)
        for _ in range(5):
            run_in(group, started)
    assert execs(container.scrape(), started.name) == {
        ("cri", "shop", "web-0", ""): 3, ("cri", "shop", "web-0", "app"): 5
    }  # fmt: skip


def test_a_container_that_crashes_fifty_times_is_one_series(container: Container, program: Callable[[], Path]) -> None:
    started, pod = program(), container.kubelet.add_pod("shop", "crashes-7d4b9c6f5-x7x2p")
    for _ in range(50):
        run_as_container(container, pod, "app", started)
    assert execs(container.scrape(), started.name) == {("cri", "shop", "crashes-7d4b9c6f5-x7x2p", "app"): 50}


def test_sigterm_ends_it_cleanly(container: Container) -> None:
    assert container.stop() == 0
