# SPDX-License-Identifier: Apache-2.0
"""Builds the Debian package of this tree, installs the package in a machine, and lists its BPF objects."""

from __future__ import annotations

import ctypes
import fcntl
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

from probed.linux.bpf import bpf
from support.running_daemon import ROOT
from support.system.machine import OUT, Machine, Service

BPF_PROG_GET_NEXT_ID: Final = 11
BPF_MAP_GET_NEXT_ID: Final = 12
"""enum bpf_cmd of Linux include/uapi/linux/bpf.h."""

LOCK: Final = ROOT / ".cache" / "deb.lock"

NEXT_ID: Final = {"prog_id:": BPF_PROG_GET_NEXT_ID, "map_id:": BPF_MAP_GET_NEXT_ID}

Thing = tuple[str, int]
"""A program or map in the kernel: the kind as in proc_pid_fdinfo(5), and the id."""


def build(*settings: str) -> Path:
    """Build the package if missing, and return its path; other test processes wait meanwhile.

    `settings` are variables of make, as ``ARCHITECTURE=arm64``.
    """
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "--silent", "--directory", ROOT, "deb", *settings], check=False, stdin=subprocess.DEVNULL,
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, f"make deb: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return ROOT / done.stdout.splitlines()[-1]


class Installed(Service):
    """probed.service of the installed package."""

    def __init__(self, machine: Machine, deb: Path) -> None:
        """Install the package, as `apt install ./probed_*.deb` does, which also starts the service."""
        self.machine = machine
        self.port = 9788
        self.unit = "probed.service"
        shutil.copy(deb, machine.out)
        machine.run("apt-get", "install", "--yes", OUT / deb.name)

    def in_kernel(self) -> set[Thing]:
        """Return the programs and maps of its processes."""
        return set[Thing]().union(*map(_things, self.processes()))


def _things(pid: int) -> set[Thing]:
    lines = (line.split() for file in Path(f"/proc/{pid}/fdinfo").iterdir() for line in file.read_text().splitlines())
    return {(line[0], int(line[1])) for line in lines if line[0] in NEXT_ID}


def exists(thing: Thing) -> bool:
    """Return whether a program or map is still in the kernel, without opening one: see test_service.py."""
    kind, number = thing
    start_id_and_next_id = ctypes.create_string_buffer(struct.pack("=III", number - 1, 0, 0), 12)
    try:
        bpf(NEXT_ID[kind], start_id_and_next_id)
    except FileNotFoundError:
        return False
    return bool(struct.unpack_from("=I", start_id_and_next_id, 4)[0] == number)
