# SPDX-License-Identifier: Apache-2.0
"""Units, names and exact counts of containers of Debian's engines, with runc and crun, under a real systemd.

Pods are containerd's, made through the Container Runtime Interface beside kubelet's folders. One has a storm, of which
the shipped rules raise the alert. PROBED_ALL_ENGINES=1 adds Debian 13's engines, and restarts for which CI has no time.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from support.engines import machines
from support.engines.containerd import HANDLERS, Sandbox
from support.engines.docker import Docker
from support.engines.images import IMAGE
from support.engines.podman import UID, Podman
from support.engines.stage import PORT, Owner, Stage, stage
from support.monitoring.alerting import STORM_SCRIPT, Webhook, alerting
from support.running_daemon import until
from support.system.machine import OUT
from support.system.netns import loopback
from support.system.rootfs import suite
from support.workload_programs import fresh_letters

ALL: Final = bool(os.environ.get("PROBED_ALL_ENGINES"))

SPAWN: Final = OUT / "bin/spawn"
LONG: Final = 120.0
"""Seconds for an alert that takes 40 s on a quiet machine."""

RESTARTS: Final = 50 if ALL else 5

SUITES: Final = sorted({suite(), "trixie"} if ALL else {suite()})


@dataclass(frozen=True, slots=True)
class Storm:
    """A pod in which a script runs a short-lived program over and over."""

    sandbox: Sandbox
    comm: str
    parent: str


@pytest.fixture(scope="module", params=SUITES)
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return the machine with all engines of a Debian suite, and probed."""
    with stage(tmp_path_factory.mktemp("engines"), request.param) as booted:
        yield booted


@pytest.fixture(scope="module")
def pager(engines: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """Return a pager behind Prometheus and Alertmanager with the shipped rules."""
    folder = tmp_path_factory.mktemp("alerting")
    with (
        loopback(Path(f"/proc/{engines.machine.pid}/ns/net")) as namespace,
        alerting(namespace, folder, f"127.0.0.1:{PORT}") as (_, webhook),
    ):
        yield webhook


@pytest.fixture(scope="module", autouse=True)
def storm(engines: Stage, pager: Webhook) -> Storm:
    """Start the storm before the first test: the alert takes longer than the other tests."""
    program = engines.machine.install("lives")
    script = engines.machine.out / "bin" / f"billing-{secrets.token_hex(3)}"
    script.write_text(STORM_SCRIPT.format(program=program))
    script.chmod(0o755)
    sandbox = engines.node.run_pod("shop", f"billing-{fresh_letters()}-0")
    engines.node.start_container(sandbox, "app", OUT / "bin" / script.name)
    return Storm(sandbox, program.name, script.name)


Run = Callable[[Stage, str, Path], Owner]
"""Runs `spawn 7` with a program in a container with this name; returns the expected owner."""


def short(number: str) -> str:
    """Return the digits of a container's id that `unit` shows."""
    return number[:12]


def wait_for_name(engines: Stage, engine: Docker | Podman, name: str) -> None:
    """Wait until probed knows a running container's name."""
    until(lambda: engine.execute(name, OUT / "bin/exits") == "" and engines.name_is_known(name), f"{name} is known")


def in_docker(engine: Callable[[Stage], Docker], *options: str) -> Run:
    def run(engines: Stage, name: str, program: Path) -> Owner:
        number = engine(engines).start(name, *options)
        wait_for_name(engines, engine(engines), name)
        engine(engines).execute(name, SPAWN, "7", program)
        engine(engines).remove(name)
        return (f"docker:{short(number)}", "", "", "", name)

    return run


def in_nested_docker(engines: Stage, name: str, program: Path) -> Owner:
    number = engines.docker.start_nested(name)
    inner = ("docker", "run", "--rm", "--network", "none", "--volume", f"{OUT}:{OUT}:ro", IMAGE)
    wait_for_name(engines, engines.docker, name)
    engines.docker.execute(name, *inner, SPAWN, "7", program)
    engines.docker.remove(name)
    return (f"docker:{short(number)}", "", "", "", name)


def in_podman(runtime: str) -> Run:
    def run(engines: Stage, name: str, program: Path) -> Owner:
        number = engines.podman.start(name, runtime=runtime)
        wait_for_name(engines, engines.podman, name)
        engines.podman.execute(name, SPAWN, "7", program)
        engines.podman.remove(name)
        return (f"podman:{short(number)}", "", "", "", name)

    return run


def in_podman_of_a_user(runtime: str) -> Run:
    def run(engines: Stage, name: str, program: Path) -> Owner:
        number = engines.rootless_podman.start(name, runtime=runtime)
        engines.rootless_podman.execute(name, SPAWN, "7", program)
        engines.rootless_podman.remove(name)
        return (f"user@{UID}.service/podman:{short(number)}", "", "", "", "")

    return run


def in_a_unit_of_podman(engines: Stage, name: str, program: Path) -> Owner:
    """Run by Quadlet, or as Quadlet's units do: the container is in the unit's own control group."""
    if engines.podman.has_quadlet:
        engines.podman.run_quadlet(name, SPAWN, "7", program)
        return (f"{name}.service", "", "", "", "")
    line = engines.podman.line(name, "--rm", "--cgroups", "split", command=(SPAWN, "7", program))
    engines.machine.transient("--unit", f"{name}.service", "--property=Delegate=yes", *line)
    return (f"{name}.service", "", "", "", "")


def in_containerd(unit: str, group: str = "") -> Run:
    """Run by containerd's own client, in the control group that another client asks for."""

    def run(engines: Stage, name: str, program: Path) -> Owner:
        number = secrets.token_hex(32)
        engines.node.run(number, SPAWN, "7", program, group=group and f"{group}:{number}")
        return (f"{unit}:{short(number)}", "", "", "", "")

    return run


def in_control_group_of_crio(engines: Stage, name: str, program: Path) -> Owner:
    """Run by containerd's own client in the control group that CRI-O asks for, beside kubelet's folders."""
    kubelet, number = engines.node.kubelet, secrets.token_hex(32)
    pod = kubelet.add_pod("shop", name)
    kubelet.make_log(pod, "app")
    kubelet.link(pod, "app", number)
    engines.node.run(number, SPAWN, "7", program, group=f"{Path(pod.slice).name}:crio:{number}")
    kubelet.remove(pod)
    return (f"cri:{short(number)}", "shop", name, "app", "")


def in_nspawn(engines: Stage, name: str, program: Path) -> Owner:
    machines.run_nspawn(engines.machine, name, SPAWN, "7", program)
    escaped = name.replace("-", r"\x2d")
    return (f"machine-{escaped}.scope", "", "", "", "")


def in_nspawn_service(engines: Stage, name: str, program: Path) -> Owner:
    machines.run_nspawn_service(engines.machine, name, SPAWN, "7", program)
    return (f"systemd-nspawn@{name}.service", "", "", "", "")


def in_lxc(groups: str = "") -> Run:
    def run(engines: Stage, name: str, program: Path) -> Owner:
        machines.run_lxc(engines.machine, name, SPAWN, "7", program, groups=groups)
        return (f"lxc:{name}", "", "", "", "")

    return run


TESTED: Final[Mapping[str, Run]] = {
    "docker with runc": in_docker(lambda engines: engines.docker),
    "docker with crun": in_docker(lambda engines: engines.docker, "--runtime", "crun"),
    "docker with cgroupfs": in_docker(lambda engines: engines.docker_with_cgroupfs),
    "docker in docker": in_nested_docker,
    "podman with runc": in_podman("runc"),
    "podman with crun": in_podman("crun"),
    "podman of a user with runc": in_podman_of_a_user("runc"),
    "podman of a user with crun": in_podman_of_a_user("crun"),
    "podman in a unit": in_a_unit_of_podman,
    "ctr": in_containerd("container"),
    "ctr with CRI-O's control group": in_control_group_of_crio,
    "ctr with nerdctl's control group": in_containerd("containerd", "system.slice:nerdctl"),
    "systemd-nspawn": in_nspawn,
    "systemd-nspawn@": in_nspawn_service,
    "lxc": in_lxc(),
    "lxc with Proxmox's control groups": in_lxc(machines.PROXMOX),
}


def skip_with_podman_5(engines: Stage, reason: str) -> None:
    """Skip a test that knows Debian 12's Podman only; CI runs no other."""
    if engines.podman.has_quadlet:
        pytest.skip(f"not written for Podman 5: {reason}")


@pytest.mark.parametrize("engine", TESTED)
def test_processes_count_to_their_container(engines: Stage, engine: str) -> None:
    if "of a user" in engine:
        skip_with_podman_5(engines, "a user's container had ended before the exec, and the cause is open")
    program = engines.machine.install("exits")
    owner = TESTED[engine](engines, f"web-{fresh_letters()}", program)
    assert engines.execs(program) == {owner: 7}


BUILDS: Final[Mapping[str, tuple[Callable[[Stage, Path], None], str]]] = {
    "docker": (lambda engines, folder: engines.docker.build(folder, buildkit=False), "docker:[0-9a-f]{12}"),
    "BuildKit": (lambda engines, folder: engines.docker.build(folder, buildkit=True), r"buildkit:\*"),
    "podman": (lambda engines, folder: engines.podman.build(folder), r"runc-buildah-buildah\*\.scope"),
}
"""Builders of images, and the form of the unit of a step."""


@pytest.mark.parametrize("builder", BUILDS)
def test_a_step_of_a_build_counts_exactly(engines: Stage, builder: str) -> None:
    program = engines.machine.install("exits")
    folder = engines.machine.out / f"build-{fresh_letters()}"
    folder.mkdir()
    for each in ("spawn", program.name):
        (folder / each).write_bytes((engines.machine.out / "bin" / each).read_bytes())
        (folder / each).chmod(0o755)
    step = json.dumps(["/spawn", "5", f"/{program.name}"])
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY spawn {program.name} /\nRUN {step}\n")
    build, unit = BUILDS[builder]
    build(engines, OUT / folder.name)
    ((owner, count),) = engines.execs(program).items()
    assert count == 5
    assert re.fullmatch(unit, owner[0])
    assert owner[1:4] == ("", "", "")


def starts(engines: Stage, program: Path, unit: str, name: str) -> float:
    """Return a program's starts, all in one container. probed may learn the container's name after the first ones."""
    owners = engines.execs(program)
    assert owners.keys() <= {(unit, "", "", "", known) for known in ("", name)}
    return sum(owners.values())


def failed_checks(engine: Docker | Podman, name: str) -> int:
    """Return how many health checks of a container have failed in a row."""
    return int(engine.run("inspect", "--format", "{{.State.Health.FailingStreak}}", name))


def failing_check(program: Path, interval: str) -> tuple[str, ...]:
    """Return options for a health check that runs a program three times."""
    check = f"{SPAWN} 3 {program}; false"
    return ("--health-cmd", check, "--health-interval", interval, "--health-retries", "1000")


def test_health_checks_of_docker_count_to_the_container(engines: Stage) -> None:
    docker, name, program = engines.docker, f"web-{fresh_letters()}", engines.machine.install("exits")
    number = docker.start(name, *failing_check(program, "2s"))
    until(lambda: failed_checks(docker, name) > 0, "a check")
    docker.run("pause", name)  # no check runs in a paused container
    failed = failed_checks(docker, name)
    docker.remove(name)
    assert starts(engines, program, f"docker:{short(number)}", name) == 3 * failed


def test_health_checks_of_podman_count_to_the_container(engines: Stage) -> None:
    skip_with_podman_5(engines, "the unit of the check was not found, and the cause is open")
    podman, name, program = engines.podman, f"web-{fresh_letters()}", engines.machine.install("exits")
    number = podman.start(name, *failing_check(program, "1h"))
    for _ in range(3):  # the timer's service, which Podman starts once too
        engines.machine.call("systemctl", "start", "--wait", f"{number}.service")
    failed = failed_checks(podman, name)
    podman.remove(name)
    assert failed in (3, 4)
    assert starts(engines, program, f"podman:{short(number)}", name) == 3 * failed


def test_restarts_by_docker_count_to_the_container(engines: Stage) -> None:
    docker, name, program = engines.docker, f"web-{fresh_letters()}", engines.machine.install("exits")
    number = docker.start(name, "--restart", "on-failure:4", command=("sh", "-c", f"{program}; exit 1"))
    until(lambda: docker.run("inspect", "--format", "{{.State.Status}}", name) == "exited", f"{name} has ended")
    docker.remove(name)
    assert starts(engines, program, f"docker:{short(number)}", name) == 5


def test_restarts_by_podman_count_to_the_container(engines: Stage) -> None:
    podman, name, program = engines.podman, f"web-{fresh_letters()}", engines.machine.install("exits")
    number = podman.start(name, "--restart", f"on-failure:{RESTARTS - 1}", command=("sh", "-c", f"{program}; exit 1"))
    unit = f"podman:{short(number)}"
    until(lambda: starts(engines, program, unit, name) == RESTARTS, f"{RESTARTS} starts", LONG + 5 * RESTARTS)
    podman.remove(name)


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_container_of_a_pod_has_the_names_of_kubelet(engines: Stage, handler: str) -> None:
    node, program = engines.node, engines.machine.install("exits")
    sandbox = node.run_pod("shop", f"web-{fresh_letters()}-0", handler)
    number = node.start_container(sandbox, "app")
    node.execute(number, SPAWN, "11", program)
    node.remove_pod(sandbox)
    assert engines.execs(program) == {(f"cri:{short(number)}", "shop", sandbox.pod.name, "app", ""): 11}


def test_restarts_by_kubelet_count_to_the_pod(engines: Stage) -> None:
    """Each restart has another id. Without the link, which comes after the start, a container has no name yet."""
    node, program, folding = engines.node, engines.machine.install("exits"), engines.folding
    sandbox = node.run_pod("shop", f"crashes-{fresh_letters()}-x7x2p")
    for attempt in range(RESTARTS):
        number = node.start_container(sandbox, "app", "sh", "-c", f"{program}; exit 1", attempt=attempt)
        node.wait_for_end(number)
        node.remove_container(sandbox, "app", number)
    node.remove_pod(sandbox)
    owners = engines.execs(program, folding)
    assert sum(owners.values()) == RESTARTS
    assert owners.keys() <= {("cri", "shop", sandbox.pod.name, container, "") for container in ("", "app")}


def test_a_storm_in_a_pod_reaches_the_pager_with_its_names(storm: Storm, pager: Webhook) -> None:
    pod = storm.sandbox.pod.name
    labels = {"alertname": "ShortLivedProcessStorm", "namespace": "shop", "pod": pod, "container": "app"}
    until(lambda: pager.received("firing", **labels), "the pager knows it", LONG)
    _, alert = pager.received("firing", **labels)[0]
    assert alert["annotations"]["summary"].startswith(f"pod shop/{pod}/app on ")
    assert f"Most are '{storm.comm}', started by '{storm.parent}'" in alert["annotations"]["description"]
    assert f"In the pod shop/{pod}/app, " in alert["annotations"]["description"]
