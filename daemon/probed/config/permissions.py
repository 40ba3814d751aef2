# SPDX-License-Identifier: Apache-2.0
"""Finds files that any user could replace: a probe's C becomes code in the kernel.

`files` asks for the site configuration and for each file of a probe. Owners are not compared in general: an
administrator who names a folder trusts its owner.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from probed.linux.privilege import user_name


def why_replaceable(path: str) -> str:
    """Return how any user could replace a file, with the remedy; "" if none can.

    The text is the end of a sentence. The file, each folder above and each link on the way count. A sticky folder such
    as /tmp is harmless where the next part of the path belongs to root or to this process's user: others cannot replace
    that part. Nor can they on a read-only mount.
    """
    try:
        return next(filter(None, map(_why, _parts(path))), "")
    except OSError:  # a pipe, such as /dev/stdin
        return ""


def _parts(path: str) -> Iterator[Path]:
    """Yield the folders, links and files by which the kernel finds a file."""
    here = Path("/")
    yield here
    names = list(reversed(Path(path).absolute().parts[1:]))
    while names:
        part = Path(os.path.normpath(here / names.pop()))
        yield part
        if part.is_symlink():
            target = part.readlink()
            names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            here = Path("/") if target.is_absolute() else here
        else:
            here = part


def _why(part: Path) -> str:
    status = part.lstat()
    folder = part.parent
    if _is_open(folder) and status.st_uid not in (0, os.geteuid()):
        owner = user_name(status.st_uid)
        return f"every user may add files to {folder}, and '{owner}' added {part}: move it to a folder of root"
    if _is_open(part) and not _is_sticky(status):
        return f"every user may write to {part}, and so run code in the kernel: chmod o-w {part}"
    return ""


def _is_open(path: Path) -> bool:
    """Say whether every user may write to a file, or add files to a folder."""
    mode = path.lstat().st_mode
    return bool(mode & stat.S_IWOTH) and not stat.S_ISLNK(mode) and not _is_read_only(path)


def _is_sticky(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
