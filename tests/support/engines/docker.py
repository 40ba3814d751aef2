# SPDX-License-Identifier: Apache-2.0
"""Docker's daemon with the driver systemd, a second daemon with the driver cgroupfs, and their client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from support.engines.images import IMAGE, STAYS, mounts, wrapper
from support.running_daemon import until
from support.system.machine import OUT, Machine

OPTIONS: Final = {"storage-driver": "vfs", "iptables": False, "bridge": "none"}

NESTED: Final = """\
mount -o remount,rw /sys/fs/cgroup
mount -o remount,rw /proc/sys
exec dockerd --storage-driver=vfs --iptables=false --bridge=none
"""
"""The script of a container that is a daemon itself."""


class Docker:
    """One daemon; its state is below `root`."""

    def __init__(self, machine: Machine, socket: str, root: str) -> None:
        self._machine, self._socket, self.root = machine, socket, root

    def run(self, *arguments: str | Path) -> str:
        """Run the client; return its output without the line end."""
        return self._machine.run(*self._client, *arguments).strip()

    @property
    def _client(self) -> tuple[str, ...]:
        return ("docker", "--host", f"unix://{self._socket}")

    def build(self, folder: Path, *, buildkit: bool) -> None:
        """Build the image of a folder with its Dockerfile."""
        environment = ("env", f"DOCKER_BUILDKIT={buildkit:d}")
        self._machine.run(*environment, *self._client, "build", "--network", "none", folder)

    def start(self, name: str, *options: str | Path, command: tuple[str | Path, ...] = STAYS) -> str:
        """Start a container; return its id."""
        volumes = mounts("--volume", "{0}:{0}:ro")
        return self.run("run", "--detach", "--network", "none", "--name", name, *volumes, *options, IMAGE, *command)

    def start_nested(self, name: str) -> str:
        """Start a container with a daemon of its own, and import the image there; return the outer container's id."""
        folders = [word for folder in ("/run", "/tmp", "/var/lib/docker") for word in ("--tmpfs", f"{folder}:exec")]
        # Root of a test has fewer capabilities than --privileged asks for.
        rights = ("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined")
        number = self.start(name, *rights, *folders, command=("sh", "-ec", NESTED))
        inner = ("docker", "exec", name, "docker", "info")
        until(lambda: self._runs(name) and self._machine.call(*inner) == 0, "the inner daemon is up")
        self.execute(name, "docker", "import", OUT / "files.tar", IMAGE)
        return number

    def _runs(self, name: str) -> bool:
        """Return whether a container runs. Raises AssertionError with the log of an ended one."""
        state = self.run("inspect", "--format", "{{.State.Status}}", name)
        assert state != "exited", self._machine.enter("docker", "logs", "--tail", "20", name).stderr
        return state == "running"

    def execute(self, name: str, *command: str | Path) -> str:
        """Run a command in a container; return its output."""
        return self.run("exec", name, *command)

    def remove(self, name: str) -> None:
        """Kill and remove a container."""
        self.run("rm", "--force", name)


def start_docker(machine: Machine) -> Docker:
    """Configure the system's daemon, which its socket starts, and import the image."""
    machine.write(
        "/etc/docker/daemon.json", json.dumps({**OPTIONS, "runtimes": {"crun": {"path": str(wrapper("crun"))}}})
    )
    return _with_image(Docker(machine, "/run/docker.sock", "/var/lib/docker"))


def start_docker_with_cgroupfs(machine: Machine) -> Docker:
    """Start a second daemon, with the driver cgroupfs, and import the image."""
    name = "docker-cgroupfs"
    docker = Docker(machine, f"/run/{name}.sock", f"/var/lib/{name}")
    options = {
        **OPTIONS,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "hosts": [f"unix:///run/{name}.sock"],
        "data-root": docker.root,
        "exec-root": f"/run/{name}",
        "pidfile": f"/run/{name}.pid",
    }
    machine.write(f"/etc/docker/{name}.json", json.dumps(options))
    daemon = ("dockerd", f"--config-file=/etc/docker/{name}.json", f"--containerd-namespace={name}")
    machine.run("systemd-run", "--quiet", "--unit", name, "--property=Type=notify", "--property=Delegate=yes", *daemon)
    return _with_image(docker)


def _with_image(docker: Docker) -> Docker:
    docker.run("import", OUT / "files.tar", IMAGE)
    return docker
