# SPDX-License-Identifier: Apache-2.0
"""The unit of a cgroup id, from the kernel, without a walk of the tree.

open_by_handle_at(2) opens a cgroup by its id, and takes CAP_DAC_READ_SEARCH. A removed cgroup is `unknown`, unless an
earlier row named it.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from probed.exporter.cgroup.attribution import Attribution, attribute
from probed.linux.mountinfo import cgroup2_mount_point
from probed.linux.syscalls import checked

KERNEL: Final = Attribution("kernel", "")
UNKNOWN: Final = Attribution("unknown", "")

FILEID_KERNFS: Final = 0xFE
"""Type of the handle that has a cgroup's id. Source: Linux include/linux/exportfs.h."""

MOST_KNOWN: Final = 1 << 13
"""Most ids with a remembered unit; past this, all are forgotten."""


class _FileHandle(ctypes.Structure):
    """struct file_handle of open_by_handle_at(2), with the 8 bytes of an id."""

    _pack_ = 1
    _fields_ = (("handle_bytes", ctypes.c_uint), ("handle_type", ctypes.c_int), ("id", ctypes.c_uint64))


class CgroupUnits:
    """Attributions by cgroup id."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Open the cgroup2 hierarchy. Raises OSError."""
        self._top = cgroup2_mount_point(root)
        self._mount = os.open(self._top, os.O_RDONLY | os.O_DIRECTORY) if self._top is not None else -1
        self._known: dict[int, Attribution] = {0: KERNEL}

    def attribution(self, number: int) -> Attribution:
        """Return the owner of a cgroup."""
        found = self._known.get(number)
        if found is None:
            path = self._path(number)
            if path is None:
                return UNKNOWN
            if len(self._known) >= MOST_KNOWN:
                self._known = {0: KERNEL}
            found = self._known[number] = attribute(path)
        return found

    def _path(self, number: int) -> str | None:
        """Return the path of a living cgroup below the mount point."""
        if self._top is None:
            return None
        try:
            fd = _open_by_id(self._mount, number)
        except OSError:
            return None
        try:
            path = str(Path(f"/proc/self/fd/{fd}").readlink())
        finally:
            os.close(fd)
        return path.removeprefix(str(self._top)) or "/"


def _open_by_id(mount: int, number: int) -> int:
    """Open a cgroup by its id. Raises OSError: ESTALE for a removed one, EPERM without the capability."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = _FileHandle(ctypes.sizeof(ctypes.c_uint64), FILEID_KERNFS, number)
    return checked(libc.open_by_handle_at(mount, ctypes.byref(handle), os.O_PATH | os.O_CLOEXEC))
