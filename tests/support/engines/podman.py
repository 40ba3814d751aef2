# SPDX-License-Identifier: Apache-2.0
"""Podman of root, and Podman of a user under the user's own systemd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from support.engines.images import ARCHIVE, IMAGE, PAUSE, STAYS, mounts, wrapper
from support.system.machine import OUT, Machine

STORAGE: Final = (
    '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n'
)

AS_ROOT: Final = ("--pids-limit", "0")
"""Options of root's containers: by default Podman sets a limit, which takes a controller."""

AS_USER: Final = ("--pid", "host")
"""Options of a user's containers: the system's /proc is partly covered, and then users may mount no other."""

QUADLET: Final = """\
[Container]
ContainerName={name}
Image={image}
Exec={command}
Network=none
Volume=/usr:/usr:ro
Volume={out}:{out}:ro
GlobalArgs=--runtime={runtime}
PodmanArgs=--pids-limit=0
"""

USER: Final = "builder"
UID: Final = 1001


class Podman:
    """Podman as one user: `options` are for each container, and `under` is the prefix of the command line."""

    def __init__(self, machine: Machine, options: tuple[str, ...] = AS_ROOT, under: tuple[str, ...] = ()) -> None:
        self._machine, self._options, self._under = machine, options, under

    def run(self, *arguments: str | Path) -> str:
        """Run Podman; return its output without the line end."""
        return self._machine.run(*self._under, "podman", *arguments).strip()

    def start(
        self, name: str, *options: str | Path, runtime: str = "runc", command: tuple[str | Path, ...] = STAYS
    ) -> str:
        """Start a container; return its id."""
        line = self.line(name, "--detach", *options, runtime=runtime, command=command)
        return self._machine.run(*line).strip()

    def line(
        self, name: str, *options: str | Path, runtime: str = "runc", command: tuple[str | Path, ...] = STAYS
    ) -> tuple[str | Path, ...]:
        """Return the command line that runs a container."""
        words = ("podman", "--runtime", str(wrapper(runtime)), "run", "--name", name, "--network", "none")
        return (*self._under, *words, *self._options, *mounts("--volume", "{0}:{0}:ro"), *options, IMAGE, *command)

    def build(self, folder: Path) -> None:
        """Build the image of a folder with its Dockerfile."""
        self.run("--runtime", wrapper("runc"), "build", "--network", "none", folder)

    @property
    def has_quadlet(self) -> bool:
        """Whether Podman makes units of systemd, as since 4.4."""
        return self._machine.call("test", "-e", "/usr/libexec/podman/quadlet") == 0

    def run_quadlet(self, name: str, *command: str | Path) -> None:
        """Run a command in a container by Quadlet's unit of this name, to the command's end."""
        text = QUADLET.format(
            name=name, image=IMAGE, command=" ".join(map(str, command)), out=OUT, runtime=wrapper("runc")
        )
        self._machine.write(f"/etc/containers/systemd/{name}.container", text)
        self._machine.run("systemctl", "daemon-reload")
        self._machine.run("systemctl", "start", "--wait", f"{name}.service")

    def execute(self, name: str, *command: str | Path) -> str:
        """Run a command in a container; return its output."""
        return self.run("exec", name, *command)

    def remove(self, name: str) -> None:
        """Kill and remove a container."""
        self.run("rm", "--force", "--time", "0", name)


def start_podman(machine: Machine) -> Podman:
    """Import the image, and write the archive of the image for other engines."""
    machine.write("/etc/containers/storage.conf", STORAGE)
    podman = Podman(machine)
    podman.run("import", "--change", f"CMD {json.dumps(PAUSE)}", OUT / "files.tar", IMAGE)
    podman.run("save", "--output", ARCHIVE, IMAGE)
    return podman


def start_rootless_podman(machine: Machine) -> Podman:
    """Add a user with subordinate ids and a running manager, and import the image."""
    machine.run("useradd", "--uid", str(UID), "--create-home", USER)
    machine.write(f"/home/{USER}/.config/containers/storage.conf", '[storage]\ndriver = "vfs"\n')
    machine.run("chown", "--recursive", USER, f"/home/{USER}")
    machine.run("loginctl", "enable-linger", USER)
    machine.run("systemctl", "start", f"user@{UID}.service")
    podman = Podman(machine, AS_USER, _in_manager())
    podman.run("load", "--input", ARCHIVE)
    return podman


def _in_manager() -> tuple[str, ...]:
    """Return the prefix for a command in a unit of the user's manager: Podman moves its processes from there."""
    wait = ("--quiet", "--collect", "--wait", "--pipe")
    environment = f"--setenv=XDG_RUNTIME_DIR=/run/user/{UID}"
    return ("systemd-run", *wait, f"--uid={USER}", environment, "systemd-run", "--user", *wait)
