# SPDX-License-Identifier: Apache-2.0
"""The path of a cgroup id: one walk of the tree at the start, then the kernel's announcements.

`collector` hands over the events of the probe `cgroups`; decoders look up an id once for each new label set. No
privilege is needed: the tree is readable for every user. An id is the inode of the directory in cgroup2
(Linux include/linux/cgroup.h, cgroup_id()).

A later walk repairs knowledge that announcements did not give. A walk of 5,000 cgroups takes 0.1 s, so `collector`
reads the tree without its lock, between `begin_walk` and `end_walk`. Announcements heard meanwhile are newer than the
walk and win.

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
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import field
from pathlib import Path
from typing import Any

from probed.exporter.arrays.ndarray import NDArray
from probed.frozen import frozen
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

LONGEST_PAUSE_SECONDS = 600.0
"""Most seconds between two walks for doubted ids: each walk that finds all of them living doubles the pause."""

_OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that tell nothing of a folder: the cgroup may live, and its counts must not be deleted."""


@frozen
class Walk:
    """A walk of the tree: the ids without a path and the doubted ids before, and the ids announced meanwhile."""

    missed: frozenset[int]
    doubted: frozenset[int]
    announced: set[int] = field(default_factory=set)


class CgroupTree:
    """Paths by id. Not thread-safe: `collector` holds its lock, except around `read_tree`.

    `announced` counts announcements, `unknown` look-ups without a path. `hears_all` says whether every new and removed
    cgroup is announced.
    """

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Walk the tree. The log says where a host has no cgroup2."""
        self._clock = clock
        self._living: dict[int, str] = {}
        self._removed: OrderedDict[int, str] = OrderedDict()
        self._gone: frozenset[int] = frozenset()
        self._missed: set[int] = set()
        self._doubted: set[int] = set()
        self._found_missed = False
        self._walk: Walk | None = None
        self._doubts_pause = WALK_SECONDS
        self._lost = 0
        self._has_lost = False
        self._top = cgroup2_mount_point(root)
        self.announced = 0
        self.unknown = 0
        self.hears_all = False
        if self._top is None:
            LOG.warning("no cgroup2 is mounted here: every label 'unit' will be '/' or 'unknown'; see mount(8)")
        self.end_walk(self.begin_walk(), self.read_tree())

    def __len__(self) -> int:
        return len(self._living) + len(self._removed)

    @property
    def wants_walk(self) -> bool:
        """Whether a walk would find missing paths or removed cgroups, and the last one was long enough ago."""
        if self._top is None:
            return False
        since = self._clock() - self._walked_at
        return since >= WALK_SECONDS and (
            bool(self._missed) or self._has_lost or (bool(self._doubted) and since >= self._doubts_pause)
        )

    def begin_walk(self) -> Walk:
        """Note the beginning of a walk, whose `read_tree` may take a while."""
        self._walked_at = self._clock()
        self._has_lost = False
        self._walk = Walk(frozenset(self._missed), frozenset(self._doubted))
        return self._walk

    def read_tree(self) -> dict[int, str] | None:
        """Return the paths of all cgroups by id; None where the tree cannot be read. Needs no lock."""
        if self._top is None:
            return None
        try:
            return dict(_tree(self._top))
        except OSError as error:
            LOG.warning("the tree of cgroups at %s cannot be read: %s; new ones may be 'unknown'", self._top, error)
            return None

    def end_walk(self, walk: Walk, found: Mapping[int, str] | None) -> None:
        """Take over the paths that a walk found, unless another walk has begun since.

        A cgroup missing from the tree counts as removed from here on.
        """
        if walk is not self._walk:
            return
        self._walk = None
        if found is None:
            return
        for number in self._living.keys() - found.keys() - walk.announced:
            self._remove(number)
        for number in found.keys() - walk.announced:
            self._keep(number, found[number])
        self._found_missed |= len(self._missed) >= MOST_REMOVED  # then some were not noted
        self._missed -= walk.missed  # an id missing from the tree now will never be there
        self._settle_doubts(walk.doubted, found.keys())

    def _settle_doubts(self, doubted: Set[int], living: Set[int]) -> None:
        if not doubted:
            return
        self._gone = frozenset(doubted - living)
        self._doubted -= doubted
        self._doubts_pause = WALK_SECONDS if self._gone else min(2 * self._doubts_pause, LONGEST_PAUSE_SECONDS)

    def doubt(self, numbers: Set[int]) -> None:
        """Look for these ids with a walk, unless announcements say which of them live."""
        self._doubted |= numbers - self._living.keys() if self.hears_all else numbers

    def note_lost(self, lost: int) -> None:
        """Take the number of announcements lost so far: after a further one, the tree must be walked."""
        self._has_lost |= lost != self._lost
        self._lost = lost

    def removed(self) -> Set[int]:
        """Return the ids known to be removed: at most `MOST_REMOVED`, and the last walk's doubted ones."""
        return self._removed.keys() | self._gone if self._gone else self._removed.keys()

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
        if self._walk is not None:
            self._walk.announced.update(events["id"].tolist())
        rows = zip(events["id"].tolist(), events["kind"].tolist(), events["path"], strict=True)
        for number, kind, raw in rows:
            if kind == REMOVED:
                self._remove(number)
            else:
                self._hear_path(number, raw.tobytes())

    def _hear_path(self, number: int, path: bytes) -> None:
        """Keep the announced path; of one that was cut, the last whole ancestor until a walk finds the rest."""
        text = os.fsdecode(path.split(b"\0", 1)[0])
        if b"\0" in path[:-1]:
            self._keep(number, text)
            return
        if ancestor := text.rpartition("/")[0]:
            self._keep(number, ancestor)
        self._miss(number)

    def path(self, number: int) -> str | None:
        """Return the path of an id, from the hierarchy's root.

        Return None for an id without a path: it counts in `unknown`, and the next walk looks for it.
        """
        path = self.known_path(number)
        if path is None:
            self.unknown += 1
            self._miss(number)
        return path

    def known_path(self, number: int) -> str | None:
        """Return the path of an id, None without one; the next walk does not look for it."""
        return self._living.get(number) or self._removed.get(number)

    def _miss(self, number: int) -> None:
        if self._top is not None and len(self._missed) < MOST_REMOVED:
            self._missed.add(number)

    def found_missed(self) -> bool:
        """Say once whether an id without a path may have one now: callers that remember answers then ask again."""
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
