# SPDX-License-Identifier: Apache-2.0
"""Builds the Debian package of this tree, and installs the package in a machine."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

from support.running_daemon import ROOT
from support.system.machine import OUT, Machine, Service

LOCK: Final = ROOT / ".cache" / "deb.lock"


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
