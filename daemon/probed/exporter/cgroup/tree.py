# SPDX-License-Identifier: Apache-2.0
"""Which path a cgroup id belongs to: one walk of the tree at the start, then the kernel's announcements.

`collection` feeds it with the events of the probe `cgroups`; decoders ask it once for each new label set. It needs no
privilege: the tree is there for all to read. An id is the inode of the directory in cgroup2
(Linux include/linux/cgroup.h, cgroup_id()).
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from probed.exporter.arrays.ndarray import NDArray

LOG = logging.getLogger("exporter")

MADE, REMOVED, RENAMED = range(3)
"""enum kind of probes/cgroups/cgroups.bpf.c."""

MOST = 1 << 12
"""Paths that are kept. Past it those of removed cgroups go first, the longest removed first of all."""

WALK_SECONDS = 10.0
"""An unknown id makes the tree be walked again, but no more often than this."""


_OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What tells nothing of a folder: its cgroup may live, and its counts must not be taken for a dead one's."""


def mount_point(root: Path = Path("/")) -> Path | None:
    """Return where the whole cgroup2 hierarchy is mounted, None where it is not. Source: proc(5), mountinfo.

    In a cgroup namespace (a container's) ``/`` is the own group: the host's tree, mounted there as well, begins at as
    many ``/..`` as the group is deep. Source: cgroup_namespaces(7).
    """
    tops = []
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            mounted_part, where = before.split()[3:5]
            if set(mounted_part.split("/")) <= {"", ".."}:
                tops.append((mounted_part.count(".."), root / _unescaped(where).lstrip("/")))
    return max(tops, key=lambda top: top[0])[1] if tops else None


def _unescaped(text: str) -> str:
    r"""Undo what the kernel does to blanks and backslashes: ``\040`` (fs/seq_file.c, mangle_path())."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


class Cgroups:
    """Paths by id. Not thread-safe: `collection` holds its lock."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Walk the tree. A host without cgroup2 is told of in the log."""
        self._clock = clock
        self._paths: dict[int, str] = {}
        self._removed: deque[tuple[int, str]] = deque()
        self._top = mount_point(root)
        self.unknown = 0
        if self._top is None:
            LOG.warning("no cgroup2 is mounted here: every label 'unit' will be '/' or 'unknown'; see mount(8)")
        self.walk()

    def __len__(self) -> int:
        return len(self._paths)

    def walk(self) -> set[int] | None:
        """Read the whole tree, and return all ids in it; None where that cannot be."""
        self._walked_at = self._clock()
        if self._top is None:
            return None
        try:
            found = dict(_tree(self._top))
        except OSError as error:
            LOG.warning("the tree of cgroups at %s cannot be read: %s; new ones may be 'unknown'", self._top, error)
            return None
        for number, path in found.items():
            self._keep(number, path)
        return set(found)

    def living(self) -> set[int] | None:
        """Return the ids of all cgroups that there are; None without a tree, or when the last walk was just now."""
        if self._top is None or self._clock() - self._walked_at < WALK_SECONDS:
            return None
        return self.walk()

    def _keep(self, number: int, path: str) -> None:
        self._paths[number] = path
        while len(self._paths) > MOST and self._removed:
            oldest, of_then = self._removed.popleft()
            if self._paths.get(oldest) is of_then:  # else the id has come again since
                del self._paths[oldest]

    def hear(self, events: NDArray[Any]) -> None:
        """Take announcements, shape (n,), fields ``id``, ``kind`` and ``path``, oldest first."""
        rows = zip(events["id"].tolist(), events["kind"].tolist(), events["path"], strict=True)
        for number, kind, raw in rows:
            path = raw.tobytes()
            if kind == REMOVED:
                if number in self._paths:
                    self._removed.append((number, self._paths[number]))
            elif b"\0" in path[:-1]:  # else it was cut: the tree knows the rest
                self._keep(number, os.fsdecode(path.split(b"\0", 1)[0]))

    def path(self, number: int) -> str | None:
        """Return the path of an id, from the hierarchy's root; None, counted in `unknown`, when nothing knows it."""
        path = self._paths.get(number)
        if path is None and self._clock() - self._walked_at >= WALK_SECONDS:
            self.walk()
            path = self._paths.get(number)
        if path is None:
            self.unknown += 1
        return path


def _tree(top: Path) -> Iterator[tuple[int, str]]:
    """Yield id and path of every cgroup below a mount point, the root first; what goes meanwhile is left out."""
    yield top.stat().st_ino, "/"
    waiting = [(str(top), "")]
    while waiting:
        folder, above = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                below = [(entry.inode(), entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            if error.errno in _OUT_OF_ROOM:
                raise
            continue  # removed since its parent was read
        for number, name in below:
            path = f"{above}/{name}"
            yield number, path
            waiting.append((f"{folder}/{name}", path))
