# SPDX-License-Identifier: Apache-2.0
"""Builds Debian trees for tests once, in .cache/rootfs of the project.

The folder's name has a digest of its inputs, so a changed list of packages makes a new tree. Tests never write into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HARNESS: Final = Path(__file__).parents[2] / "system" / "harness"
CACHE: Final = Path(__file__).parents[3] / ".cache" / "rootfs"
DIGEST: Final = 12
"""Digits of a digest."""


def suite() -> str:
    """Return the Debian suite of this machine."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def rootfs(of: str = "", packages: Sequence[str] = (), cache: Path = CACHE) -> Path:
    """Return a suite's tree with these packages added, built in half a minute if missing.

    Raises CalledProcessError.
    """
    of = of or suite()
    kind = f"{of}-more" if packages else of
    wanted = cache / f"{kind}-{_digest(packages)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{kind}.lock"):
        if not wanted.is_dir():
            _remove_others(cache, kind)
            _build(of, packages, wanted)
    return wanted


def _digest(packages: Sequence[str]) -> str:
    parts = [*((HARNESS / name).read_bytes() for name in ("build-rootfs", "packages")), *map(str.encode, packages)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:DIGEST]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock against other builds; the kernel releases the lock of a killed process."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_others(cache: Path, kind: str) -> None:
    """Remove trees of this kind with other lists, and of interrupted builds."""
    for entry in cache.glob(f"{kind}-{'[0-9a-f]' * DIGEST}*"):
        shutil.rmtree(entry)


def _build(of: str, packages: Sequence[str], wanted: Path) -> None:
    """Build beside the final path and rename, so that an existing tree is complete."""
    unfinished = wanted.with_suffix(".unfinished")
    build: list[str | Path] = [HARNESS / "build-rootfs", of, unfinished, *packages]
    subprocess.run(build, check=True, stdin=subprocess.DEVNULL)
    unfinished.rename(wanted)
