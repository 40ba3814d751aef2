# SPDX-License-Identifier: Apache-2.0
"""/proc/self/mountinfo: which file systems are mounted where. Source: proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from probed.frozen import frozen


@frozen
class Mount:
    """One mount: the mounted folder of the file system, the mount point, and the file system's type."""

    folder: str
    point: str
    type: str


def mounts(root: Path = Path("/")) -> Iterator[Mount]:
    """Yield every mount. Raises OSError.

    A mount point may have any byte but NUL, as `os.fsdecode` returns them, so lines and fields end only at the
    kernel's own line ends and blanks.
    """
    for line in os.fsdecode((root / "proc/self/mountinfo").read_bytes()).split("\n"):
        before, dash, after = line.partition(" - ")
        if dash:
            folder, point = before.split(" ")[3:5]
            yield Mount(_unescaped(folder), _unescaped(point), after.split(" ")[0])


def cgroup2_mount_point(root: Path = Path("/")) -> Path | None:
    """Return where the whole cgroup2 hierarchy is mounted, None where it is not. Raises OSError.

    In a cgroup namespace (a container's) ``/`` is the own group: the host's tree, mounted there as well, begins at as
    many ``/..`` as the group is deep. Source: cgroup_namespaces(7).
    """
    whole = [
        (mount.folder.count(".."), root / mount.point.lstrip("/"))
        for mount in mounts(root)
        if mount.type == "cgroup2" and set(mount.folder.split("/")) <= {"", ".."}
    ]
    return max(whole, key=lambda found: found[0])[1] if whole else None


def _unescaped(text: str) -> str:
    r"""Undo the kernel's escapes for blanks, line ends and backslashes: ``\040`` (fs/seq_file.c, mangle_path())."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
