# SPDX-License-Identifier: Apache-2.0
"""Checks a cgroup's path against its id, and names the unit: the exporter may claim anything."""

from __future__ import annotations

from pathlib import Path

from probed.errors import HostError
from probed.exporter.cgroup.attribution import attribute
from probed.linux.mountinfo import cgroup2_mount_point


def unit_of(path: str, cgroup: int, root: Path = Path("/")) -> str:
    """Return the unit of the cgroup at `path`. Raises HostError for a path of another cgroup, or of none.

    The id of a cgroup is the inode number of its folder. In a cgroup namespace the mounted hierarchy may begin further
    below than the kernel's own, from which announced paths start: then the rest of the path leads to the cgroup.
    """
    top = cgroup2_mount_point(root)
    if top is None:
        raise HostError("no cgroup2 hierarchy is mounted")
    names = path.strip("/").split("/")
    for start in range(len(names)):
        below = "/" + "/".join(names[start:])
        if _inode(Path(f"{top}{below}")) == cgroup:
            return attribute(below).unit
    raise HostError(f"no control group at '{path}' has the id {cgroup}; it may have gone")


def _inode(folder: Path) -> int | None:
    """Return a folder's inode number, None where nothing can be looked at."""
    try:
        return folder.stat(follow_symlinks=False).st_ino
    except OSError:
        return None
