# SPDX-License-Identifier: Apache-2.0
"""The path of a cgroup id: one walk of the tree at the start, then the kernel's announcements.

`collector` hands over the events of the probe `cgroups`; decoders look up an id once for each new label set. No
privilege is needed: the tree is readable for every user. An id is the inode of the directory in cgroup2
(Linux include/linux/cgroup.h, cgroup_id()).

Paths of living and of removed cgroups are kept apart, each up to a bound. A path takes 60 bytes and its text, an entry
of the tables 100: 210 bytes for a usual path of 50 characters, 1.2 KB for one of `LONGEST`. So 8,192 removed cgroups
take 1.7 MB, at most 10 MB, and 32,768 living ones 7 MB, at most 39 MB.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

from probed.exporter.arrays.ndarray import NDArray
from probed.linux.mountinfo import cgroup2_mount_point

LOG = logging.getLogger("exporter")

MADE, REMOVED, RENAMED = range(3)
"""enum kind of probes/cgroups/cgroups.bpf.c."""

MOST_REMOVED = 1 << 13
"""Most paths of removed cgroups; past this, the cgroup removed first is forgotten.

`collector` reads all rings and maps before so many more are removed: until then an event or an entry can have the id.
"""

MOST_LIVING = 1 << 15
"""Most paths of living cgroups; past this, a new cgroup has no name until another one is removed."""

LONGEST = 1 << 10
"""Characters of a path that are kept. A cgroup below a longer path has the name of the last ancestor that fits."""

WALK_SECONDS = 10.0
"""An unknown id makes the exporter walk the tree again, at most this often."""

_OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that tell nothing of a folder: the cgroup may live, and its counts must not be deleted."""


class CgroupTree:
    """Paths by id. Not thread-safe: `collector` holds its lock.

    `announced` counts announcements, `unknown` look-ups without a path.
    """

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Walk the tree. The log says where a host has no cgroup2."""
        self._clock = clock
        self._living: dict[int, str] = {}
        self._removed: OrderedDict[int, str] = OrderedDict()
        self._missed: set[int] = set()
        self._found_missed = False
        self._top = cgroup2_mount_point(root)
        self.announced = 0
        self.unknown = 0
        if self._top is None:
            LOG.warning("no cgroup2 is mounted here: every label 'unit' will be '/' or 'unknown'; see mount(8)")
        self.walk()

    def __len__(self) -> int:
        return len(self._living) + len(self._removed)

    def walk(self) -> set[int] | None:
        """Read the whole tree and return all ids, None where the tree cannot be read.

        A cgroup missing from the tree counts as removed from here on.
        """
        self._walked_at = self._clock()
        if self._top is None:
            return None
        try:
            found = dict(_tree(self._top))
        except OSError as error:
            LOG.warning("the tree of cgroups at %s cannot be read: %s; new ones may be 'unknown'", self._top, error)
            return None
        for number in self._living.keys() - found.keys():
            self._remove(number)
        for number, path in found.items():
            self._keep(number, path)
        self._found_missed |= len(self._missed) >= MOST_REMOVED  # then some were not noted
        self._missed.clear()  # an id missing from the tree now will never be there
        return set(found)

    @property
    def _may_walk(self) -> bool:
        return self._top is not None and self._clock() - self._walked_at >= WALK_SECONDS

    def live_ids(self) -> set[int] | None:
        """Return the ids of all living cgroups; None without a tree, or when the last walk was just now."""
        return self.walk() if self._may_walk else None

    def removed(self) -> Set[int]:
        """Return the ids known to be removed, without a walk: a view of at most `MOST_REMOVED`."""
        return self._removed.keys()

    def _keep(self, number: int, path: str) -> None:
        self._removed.pop(number, None)
        if number in self._living or len(self._living) < MOST_LIVING:
            self._living[number] = _shortened(path)
            self._found_missed |= number in self._missed

    def _remove(self, number: int) -> None:
        path = self._living.pop(number, None)
        if path is not None:
            self._removed[number] = path
            if len(self._removed) > MOST_REMOVED:
                self._removed.popitem(last=False)

    def hear(self, events: NDArray[Any]) -> None:
        """Take announcements, shape (n,), fields ``id``, ``kind`` and ``path``, oldest first."""
        self.announced += len(events)
        rows = zip(events["id"].tolist(), events["kind"].tolist(), events["path"], strict=True)
        for number, kind, raw in rows:
            path = raw.tobytes()
            if kind == REMOVED:
                self._remove(number)
            elif b"\0" in path[:-1]:  # else it was cut: the tree knows the rest
                self._keep(number, os.fsdecode(path.split(b"\0", 1)[0]))

    def path(self, number: int) -> str | None:
        """Return the path of an id, from the hierarchy's root; None, counted in `unknown`, without one."""
        path = self._known(number)
        if path is None:
            if not self._may_walk or self.walk() is None:
                self._miss(number)
            path = self._known(number)
        self.unknown += path is None
        return path

    def _known(self, number: int) -> str | None:
        return self._living.get(number) or self._removed.get(number)

    def _miss(self, number: int) -> None:
        if self._top is not None and len(self._missed) < MOST_REMOVED:
            self._missed.add(number)

    def found_missed(self) -> bool:
        """Say once whether an id without a path may have one now: callers that remember answers then ask again.

        The tree is walked for such ids when a walk is permitted.
        """
        if self._missed and self._may_walk:
            self.walk()
        found, self._found_missed = self._found_missed, False
        return found


def _shortened(path: str) -> str:
    return path if len(path) <= LONGEST else path[:LONGEST].rpartition("/")[0]


def _tree(top: Path) -> Iterator[tuple[int, str]]:
    """Yield id and path of every cgroup below a mount point, the root first, without cgroups removed meanwhile."""
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
