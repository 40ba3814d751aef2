# SPDX-License-Identifier: Apache-2.0
"""Finds the programs and libraries of attach points, with an identity that an update of the file changes.

`files` puts the identity into a probe's fingerprint, and the loader into the attach point: the kernel keeps a program
with the file that it was attached to, so an update needs another attachment.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from probed.frozen import frozen

FOLDERS: Final = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/bin", "usr/sbin", "usr/local/lib")
"""Folders in which a file is searched that has no path."""

MAX_PATH: Final = 109
"""Most characters of a path: systemd's fd store takes names of 255 characters."""


@frozen
class FoundFile:
    """An ELF file: the real path, and an identity that an update of the file changes."""

    path: str
    identity: str


def find_file(name: str, root: Path = Path("/")) -> FoundFile:
    """Return the file of a path, or of a bare name in `FOLDERS`. Raises OSError and ValueError."""
    for place in [root / name.lstrip("/")] if "/" in name else [root / folder / name for folder in FOLDERS]:
        try:
            facts = place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(facts.st_mode):
            path = str(place.resolve())
            if len(path) > MAX_PATH:
                raise ValueError(f"the path '{path}' has {len(path)} characters; {MAX_PATH} are the most")
            return FoundFile(path, f"{facts.st_ino:x}-{facts.st_mtime_ns:x}")
    where = "" if "/" in name else f" in {', '.join(f'/{folder}' for folder in FOLDERS)}"
    raise FileNotFoundError(f"there is no file '{name}'{where}")


def identity_of(name: str) -> str:
    """Return the identity of a file, "" for one that cannot be used."""
    try:
        return find_file(name).identity
    except (OSError, ValueError):
        return ""
