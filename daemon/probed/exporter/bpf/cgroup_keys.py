# SPDX-License-Identifier: Apache-2.0
"""Entries of a kernel map by control group, and which of them belong to removed control groups. Pure.

The sources of maps (`map_source`, `gauge_source`) delete such entries. Ids of control groups are never used again, so
the map would only grow.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.frozen import frozen
from probed.ipc.manifest import Map

CGROUP = "cgroup"
"""The member of a key that is the id of a control group."""


@frozen
class KnownCgroups:
    """Tells which control groups are removed.

    `removed` gives the ids known to be removed; `doubt` takes ids of which some may be removed, for a later answer.
    """

    removed: Callable[[], Set[int]]
    doubt: Callable[[Set[int]], None]


class CgroupKeys:
    """The keys of one map; `are_used` says whether they have the member `cgroup`."""

    def __init__(self, layout: Map, cgroups: KnownCgroups) -> None:
        self._entries = layout.entries
        self._cgroups = cgroups
        self.are_used = any(field.name == CGROUP for field in layout.key.fields)

    @property
    def room(self) -> int | None:
        """How many control groups the map has room for; None where the key has none."""
        return self._entries if self.are_used else None

    def is_filling(self, entries: int) -> bool:
        """Say whether a map with so many entries is more than a quarter full of control groups."""
        return self.are_used and entries > self._entries // 4

    def are_removed(self, cgroups: NDArray[Any]) -> NDArray[Any]:
        """Say of each id whether its control group was removed, shape (n,), dtype bool.

        Where more than half of the map would stay taken, all remaining ids are doubted.
        """
        removed: NDArray[Any] = np.isin(cgroups, _array(self._cgroups.removed()))
        if len(cgroups) - removed.sum() > self._entries // 2:
            self._cgroups.doubt(set(cgroups[~removed].tolist()))
        return removed


def _array(numbers: Set[int]) -> NDArray[Any]:
    return np.fromiter(numbers, np.uint64, len(numbers))
