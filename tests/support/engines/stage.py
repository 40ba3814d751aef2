# SPDX-License-Identifier: Apache-2.0
"""A machine with all engines, and probed with the names of pods and containers.

A second probed has the configuration of the DaemonSet, which folds the ids of containers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from support.engines import images
from support.engines.containerd import Node
from support.engines.docker import Docker, start_docker, start_docker_with_cgroupfs
from support.engines.podman import Podman, start_podman, start_rootless_podman
from support.kubernetes_manifests import BASE, build, one
from support.running_daemon import SHIPPED, Page
from support.system.machine import OUT, Machine, Service
from support.system.rootfs import rootfs

PACKAGES: Final = (
    *("containerd", "crun", "docker.io", "lxc", "podman", "runc", "systemd-container"),
    *("dbus-user-session", "uidmap"),  # for Podman of a user
)

PACKAGES_OF_TRIXIE: Final = ("docker-buildx", "docker-cli")
"""Further packages of Debian 13, where Docker's client and BuildKit's are packages of their own."""

PORT: Final = 9811
FOLDING_PORT: Final = 9812
EXECS: Final = "probed_process_execs_total"
LABELS: Final = ("unit", "namespace", "pod", "container", "container_name")

Owner = tuple[str, ...]
"""Values of `LABELS`."""

RIGHT: Final = "CAP_DAC_READ_SEARCH"
READS_STATE: Final = {"CapabilityBoundingSet": RIGHT, "AmbientCapabilities": RIGHT}
"""The right to read the state files of runtimes."""

SITE: Final[dict[str, Any]] = {
    "probe_directories": [str(OUT / "probed/probes")],
    "probes": dict(SHIPPED),
    "unit_labels": {name: name for name in LABELS[1:]},
    "container_names": {
        "docker": ["/var/lib/docker", "/var/lib/docker-cgroupfs"], "podman": ["/var/lib/containers/storage"],
    },
}  # fmt: skip


@dataclass
class Stage:
    """The machine, the engines, each started at its first use, and both daemons."""

    machine: Machine
    podman: Podman
    node: Node
    probed: Service

    @cached_property
    def docker(self) -> Docker:
        """Docker with the driver systemd."""
        return start_docker(self.machine)

    @cached_property
    def docker_with_cgroupfs(self) -> Docker:
        """Docker with the driver cgroupfs."""
        return start_docker_with_cgroupfs(self.machine)

    @cached_property
    def rootless_podman(self) -> Podman:
        """Podman of a user."""
        return start_rootless_podman(self.machine)

    @cached_property
    def folding(self) -> Service:
        """probed with the configuration of the DaemonSet."""
        site = yaml.safe_load(one(build(BASE), "ConfigMap")["data"]["probed.yaml"])
        return _start_probed(self.machine, FOLDING_PORT, {**site, "probe_directories": SITE["probe_directories"]}, {})

    def execs(self, program: Path, service: Service | None = None) -> dict[Owner, float]:
        """Return a program's execs by the labels of its owner."""
        return by_owner((service or self.probed).scrape(), program.name)

    def name_is_known(self, name: str) -> bool:
        """Return whether a series has this name of a container."""
        return any(dict(labels).get("container_name") == name for _, labels in self.probed.scrape())


def by_owner(page: Page, comm: str) -> dict[Owner, float]:
    """Return the execs of a program by the labels of its owner; absent labels are empty."""
    found = [(dict(labels), value) for (name, labels), value in page.items() if name == EXECS and value]
    return {tuple(labels.get(name, "") for name in LABELS): value for labels, value in found if labels["comm"] == comm}


@contextmanager
def stage(folder: Path, of: str) -> Iterator[Stage]:
    """Boot a machine of a Debian suite, and start containerd and probed."""
    (folder / "machine").mkdir()
    tree = rootfs(of, PACKAGES + (PACKAGES_OF_TRIXIE if of == "trixie" else ()))
    with Machine(tree, folder / "machine", "--unit=basic.target") as machine:
        machine.wait_until_up()
        images.prepare(machine)
        podman = start_podman(machine)
        with Node(machine) as node:
            yield Stage(machine, podman, node, _start_probed(machine, PORT, SITE, READS_STATE))


def _start_probed(machine: Machine, port: int, site: Mapping[str, Any], settings: Mapping[str, str]) -> Service:
    path = OUT / f"probed-{port}.yaml"
    (machine.out / path.name).write_text(json.dumps(site))
    return Service(machine, port, {"Environment": f"CONFIG={path}", **settings}).wait_until_ready()
