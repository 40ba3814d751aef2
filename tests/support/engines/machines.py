# SPDX-License-Identifier: Apache-2.0
"""systemd-nspawn and LXC: each runs a command in a container to the command's end."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.engines.images import FOLDERS, LINKS
from support.system.machine import OUT, Machine

NSPAWN: Final = """\
[Exec]
Boot=no
ProcessTwo=yes
PrivateUsers=no
Parameters={command}
[Files]
BindReadOnly=/usr
BindReadOnly={out}
[Network]
VirtualEthernet=no
"""

LXC: Final = """\
lxc.uts.name = {name}
lxc.rootfs.path = dir:{tree}
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc:mixed sys:ro
lxc.mount.entry = /usr usr none ro,rbind 0 0
lxc.mount.entry = {out} out none ro,rbind 0 0
"""

PROXMOX: Final = """\
lxc.cgroup.dir.container = lxc/{name}
lxc.cgroup.dir.container.inner = ns
lxc.cgroup.dir.monitor = lxc.monitor/{name}
"""
"""Control groups as in Proxmox's configurations of containers. Source: pve-container, src/PVE/LXC.pm."""


def make_tree(machine: Machine, path: str) -> str:
    """Make a container's tree of folders and links into /usr; return its path."""
    tree = machine.root / path.lstrip("/")
    for name in FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in LINKS:
        if not (tree / name).is_symlink():
            (tree / name).symlink_to(f"usr/{name}")
    return path


def run_nspawn(machine: Machine, name: str, *command: str | Path) -> None:
    """Run a command by systemd-nspawn from a command line."""
    tree = make_tree(machine, f"/var/lib/machines/{name}")
    binds = ("--bind-ro=/usr", f"--bind-ro={OUT}")
    machine.run("systemd-nspawn", "--quiet", "--as-pid2", "--machine", name, "--directory", tree, *binds, *command)


def run_nspawn_service(machine: Machine, name: str, *command: str | Path) -> None:
    """Run a command by systemd-nspawn@NAME.service."""
    make_tree(machine, f"/var/lib/machines/{name}")
    words = " ".join(map(str, command))
    machine.write(f"/etc/systemd/nspawn/{name}.nspawn", NSPAWN.format(command=words, out=OUT))
    unit = f"systemd-nspawn@{name}.service"
    machine.run("systemctl", "start", unit)
    machine.run("sh", "-ec", f"while systemctl is-active --quiet {unit}; do sleep 0.05; done")


def run_lxc(machine: Machine, name: str, *command: str | Path, groups: str = "") -> None:
    """Run a command by lxc-execute; `groups` is a part of the configuration, as `PROXMOX`."""
    tree = make_tree(machine, f"/var/lib/lxc/{name}/rootfs")
    machine.write(f"/var/lib/lxc/{name}/config", (LXC + groups).format(name=name, tree=tree, out=OUT))
    machine.run("lxc-execute", "--name", name, "--", *command)
