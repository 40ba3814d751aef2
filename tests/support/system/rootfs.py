# SPDX-License-Identifier: Apache-2.0
"""Builds the Debian tree for system tests once, in .cache/rootfs of the project.

The folder's name is a digest of its inputs, so a changed list of packages makes a new tree. Tests never write into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HARNESS: Final = Path(__file__).parents[2] / "system" / "harness"
CACHE: Final = Path(__file__).parents[3] / ".cache" / "rootfs"


def suite() -> str:
    """Return the Debian suite of this machine, for which apt has the sources."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def rootfs(cache: Path = CACHE) -> Path:
    """Return the tree, built in half a minute if missing. Raises CalledProcessError."""
    wanted = cache / f"{suite()}-{_digest()}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        if not wanted.is_dir():
            _remove_others(cache)
            _build(wanted)
    return wanted


def _digest() -> str:
    parts = (HARNESS / name for name in ("build-rootfs", "packages"))
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock against other builds; the kernel releases the lock of a killed process."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_others(cache: Path) -> None:
    """Remove trees of other lists and of interrupted builds."""
    for entry in cache.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)


def _build(wanted: Path) -> None:
    """Build beside the final path and rename, so that an existing tree is complete."""
    unfinished = wanted.with_suffix(".unfinished")
    subprocess.run([HARNESS / "build-rootfs", suite(), unfinished], check=True, stdin=subprocess.DEVNULL)
    unfinished.rename(wanted)
