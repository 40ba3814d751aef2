# SPDX-License-Identifier: Apache-2.0
"""The Debian tree that system tests boot: built once, kept in .cache/rootfs of the project, never written afterwards.

Its folder's name is a digest of what it is made from, so a changed list of packages makes a new one.
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
    """Return the Debian suite of this machine: its apt knows where to get that, and users of it have that."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def rootfs(cache: Path = CACHE) -> Path:
    """Return the tree; build it when there is none, which takes half a minute. Raises CalledProcessError."""
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
    """Let nobody else build meanwhile; who is killed lets go."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_others(cache: Path) -> None:
    """Remove trees of other lists, and what an interrupted build has left."""
    for entry in cache.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)


def _build(wanted: Path) -> None:
    """Build beside it and rename: a tree that has its name is complete."""
    unfinished = wanted.with_suffix(".unfinished")
    subprocess.run([HARNESS / "build-rootfs", suite(), unfinished], check=True, stdin=subprocess.DEVNULL)
    unfinished.rename(wanted)
