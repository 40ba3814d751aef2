# SPDX-License-Identifier: Apache-2.0
"""Checks a cgroup's path against its id, and names the unit: the exporter may claim anything."""

from __future__ import annotations

from pathlib import Path

from probed.errors import HostError
from probed.exporter.cgroup.attribution import attribute
from probed.linux.mountinfo import cgroup2_mount_point
from probed.linux.os_errors import why_not


def unit_of(path: str, cgroup: int, root: Path = Path("/")) -> str:
    """Return the unit of the cgroup at `path`. Raises HostError for a path of another cgroup, or of none.

    The id of a cgroup is the inode number of its folder.
    """
    top = cgroup2_mount_point(root)
    if top is None:
        raise HostError("no cgroup2 hierarchy is mounted")
    try:
        found = Path(f"{top}{path}").stat(follow_symlinks=False).st_ino
    except OSError as error:
        raise HostError(f"the control group '{path}' cannot be looked at: {why_not(error)}") from error
    if found != cgroup:
        raise HostError(f"the control group '{path}' has the id {found}, not {cgroup}")
    return attribute(path).unit
