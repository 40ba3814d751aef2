# SPDX-License-Identifier: Apache-2.0
"""Boots Debian's kernels in QEMU for a test, one after another or side by side.

The disks and the kernels are made once and kept in .cache/vms and .cache/vm-arm64 of the project.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from support.running_daemon import tail
from support.system.rootfs import HARNESS, rootfs, suite

CACHE: Final = Path(__file__).parents[3] / ".cache"
KERNELS: Final = ("5.10", "6.1", "6.12", "7.2")
ARM64: Final = "arm64"
"""The kernel of this machine's suite for arm64."""

PATIENCE: Final = 900.0
"""Seconds from power on to power off: a tenth of that on a quiet machine. A guest that hangs is started once more."""


def disks(cache: Path = CACHE / "vms") -> Path:
    """Return the folder with the disk and all kernels of this architecture, built in a minute if missing."""
    tree = rootfs()
    return _kept(cache, ["build-vm", suite(), tree], KERNELS)


def arm64_disk(cache: Path = CACHE / "vm-arm64") -> Path:
    """Return the folder with disk and kernel of arm64, built in a minute if missing."""
    return _kept(cache, ["build-vm-arm64", rootfs()], ())


def _kept(cache: Path, build: list[str | Path], kernels: Sequence[str]) -> Path:
    """Return the folder that a program of the harness builds, in a folder of its own."""
    program, *arguments = HARNESS / build[0], *build[1:]
    unit = HARNESS / "guest.service"
    made_of = [Path(arguments[-1]).name, *kernels, program.read_text(), unit.read_text()]
    wanted = cache / hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.is_dir():
            for old in (entry for entry in cache.iterdir() if entry.is_dir()):
                shutil.rmtree(old)
            # Beside the final path, so that an existing folder is complete.
            unfinished = wanted.with_suffix(".unfinished")
            subprocess.run([program, *arguments, unfinished, *kernels], check=True, stdin=subprocess.DEVNULL)
            unfinished.rename(wanted)
    return wanted


def run(folder: Path, out: Path, kernel: str, answer: Path, cpus: int = 1) -> None:
    """Boot a kernel with `out` as the guest's /out until power off; the guest must write the file `answer`.

    The console goes to OUT/console.log. Raises AssertionError with its end.
    """
    for _ in range(2):
        command: list[str | Path] = ["env", f"CPUS={cpus}", HARNESS / "run-vm", folder, out, kernel]
        if _boot(command, out / "console.log") and answer.exists():
            return
    raise AssertionError(f"kernel {kernel} gave no answer:\n{tail(out / 'console.log')}")


def _boot(command: Sequence[str | Path], console: Path) -> bool:
    with console.open("wb") as log:
        guest = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            return guest.wait(PATIENCE) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            guest.kill()
            guest.wait()
