# SPDX-License-Identifier: Apache-2.0
"""Names of containers of Debian's Docker, Podman and containerd, each with runc, under a real systemd.

containerd runs pods' containers in kubelet's control groups, beside kubelet's folders. One pod has a storm, of which
the shipped rules raise the alert.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from support.kubelet import Pod, new_id
from support.monitoring.alerting import Webhook, alerting
from support.running_daemon import SHIPPED, Page, until
from support.system.engines import IMAGE, PACKAGES, Engines
from support.system.machine import OUT, Machine, Service
from support.system.netns import loopback
from support.system.rootfs import rootfs
from support.workload_programs import fresh_letters

PORT: Final = 9811
EXECS: Final = "probed_process_execs_total"
LABELS: Final = ("unit", "namespace", "pod", "container", "container_name")
STORM: Final = "#!/bin/sh\nwhile :; do {program} 3; done\n"
LONG: Final = 120.0
"""Seconds for an alert that takes 40 s on a quiet machine."""

SITE: Final[dict[str, Any]] = {
    "probe_directories": [str(OUT / "probed/probes")],
    "probes": dict(SHIPPED),
    "unit_labels": {name: name for name in LABELS[1:]},
    "container_names": {"docker": ["/var/lib/docker"], "podman": ["/var/lib/containers/storage"]},
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The machine with its engines, probed, and a pod with a storm that a pager hears of."""

    machine: Machine
    engines: Engines
    probed: Service
    webhook: Webhook
    storm: Pod
    comm: str
    parent: str

    def execs(self, program: Path) -> dict[tuple[str, ...], float]:
        """Return a program's execs by the labels of its owner."""
        return by_owner(self.probed.scrape(), program.name)


def by_owner(page: Page, comm: str) -> dict[tuple[str, ...], float]:
    found = [(dict(labels), value) for (name, labels), value in page.items() if name == EXECS and value]
    return {tuple(labels[name] for name in LABELS): value for labels, value in found if labels["comm"] == comm}


def start_probed(machine: Machine) -> Service:
    """Start the service with the right to read the state of runtimes."""
    path = OUT / "engines.yaml"
    (machine.out / path.name).write_text(json.dumps(SITE))
    right = "CAP_DAC_READ_SEARCH"
    settings = {"Environment": f"CONFIG={path}", "CapabilityBoundingSet": right, "AmbientCapabilities": right}
    return Service(machine, PORT, settings).wait_until_ready()


def start_storm(machine: Machine, engines: Engines) -> tuple[Pod, str, str]:
    """Start a pod in which a script runs a short-lived program over and over; return both comms too."""
    program = machine.install("lives")
    script = machine.out / "bin" / f"billing-{secrets.token_hex(3)}"
    script.write_text(STORM.format(program=program))
    script.chmod(0o755)
    pod = engines.kubelet.add_pod("shop", f"billing-{fresh_letters()}-0")
    engines.run_in_pod(pod, "app", new_id(), OUT / "bin" / script.name, wait=False)
    return pod, program.name, script.name


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All of it, for all tests."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "machine").mkdir()
    with Machine(rootfs(packages=PACKAGES), folder / "machine", "--unit=basic.target") as machine:
        machine.wait_until_up()
        engines, probed = Engines(machine), start_probed(machine)
        with (
            loopback(Path(f"/proc/{machine.pid}/ns/net")) as namespace,
            alerting(namespace, folder, f"127.0.0.1:{PORT}") as (_, webhook),
        ):
            yield Stage(machine, engines, probed, webhook, *start_storm(machine, engines))


def name_is_known(stage: Stage, name: str) -> bool:
    return any(dict(labels).get("container_name") == name for _, labels in stage.probed.scrape())


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_a_container_has_the_name_that_its_runtime_gave(stage: Stage, runtime: str) -> None:
    engines, name = stage.engines, f"web-{fresh_letters()}"
    start, command = {
        "docker": (engines.start_docker, engines.docker), "podman": (engines.start_podman, engines.podman)
    }[runtime]  # fmt: skip
    number = start(name, OUT / "bin/lives", "1000000")
    spawn, program = OUT / "bin/spawn", stage.machine.install("exits")
    until(lambda: command("exec", name, OUT / "bin/exits") == "" and name_is_known(stage, name), f"{name} is known")
    command("exec", name, spawn, "7", program)
    assert stage.execs(program) == {(f"{runtime}:{number[:12]}", "", "", "", name): 7}
    command("rm", "--force", name)


@pytest.mark.parametrize("buildkit", ["0", "1"])
def test_a_step_of_a_docker_build_counts_exactly(stage: Stage, buildkit: str, tmp_path: Path) -> None:
    program = stage.machine.install("exits")
    folder = stage.machine.out / f"build-{fresh_letters()}"
    folder.mkdir()
    for each in ("spawn", program.name):
        (folder / each).write_bytes((stage.machine.out / "bin" / each).read_bytes())
        (folder / each).chmod(0o755)
    step = json.dumps(["/spawn", "5", f"/{program.name}"])
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY spawn {program.name} /\nRUN {step}\n")
    build = ("docker", "build", "--network", "none", OUT / folder.name)
    stage.machine.run("env", f"DOCKER_BUILDKIT={buildkit}", *build)
    ((owner, count),) = stage.execs(program).items()
    assert count == 5
    assert owner[0] == "buildkit:*" if buildkit == "1" else owner[0].startswith("docker:")
    assert owner[1:4] == ("", "", "")


@pytest.mark.parametrize("driver", ["systemd", "cgroupfs"])
def test_a_container_of_containerd_has_the_names_of_its_pod(stage: Stage, driver: str) -> None:
    engines, program = stage.engines, stage.machine.install("exits")
    pod, number = engines.kubelet.add_pod("shop", f"web-{fresh_letters()}-0"), new_id()
    group = f"/kubepods/burstable/pod{pod.uid}/{number}" if driver == "cgroupfs" else ""
    engines.run_in_pod(pod, "app", number, OUT / "bin/spawn", "11", program, group=group)
    engines.kubelet.remove(pod)
    assert stage.execs(program) == {(f"cri:{number[:12]}", "shop", pod.name, "app", ""): 11}


def test_a_storm_in_a_pod_reaches_the_pager_with_its_names(stage: Stage) -> None:
    labels = {"alertname": "ShortLivedProcessStorm", "namespace": "shop", "pod": stage.storm.name, "container": "app"}
    until(lambda: stage.webhook.received("firing", **labels), "the pager knows it", LONG)
    _, alert = stage.webhook.received("firing", **labels)[0]
    assert alert["annotations"]["summary"].startswith(f"pod shop/{stage.storm.name}/app on ")
    assert f"Most are '{stage.comm}', started by '{stage.parent}'" in alert["annotations"]["description"]
    assert f"In the pod shop/{stage.storm.name}/app, " in alert["annotations"]["description"]
