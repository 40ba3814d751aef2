# SPDX-License-Identifier: Apache-2.0
"""Two hash maps for events with a weight that found the ring full.

The maps take turns. Programs add to the map whose turn it is. The exporter gives the turn to the other map, waits until
no program adds to the former one, counts its entries and deletes them. `weighted_events` owns the object and calls
`read`, `take`, and after the counts have been committed `retire`.

Programs count in each map's STAT_BEGUN before they look at the turn a second time and add, and in STAT_KEPT or
STAT_LEFT after it. So once both sums are equal after the turn has changed, no program adds to that map any more.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ledger import Ledger, require
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.map_reader import Entries
from probed.ipc.manifest import Field, Map, Record

LABEL_SETS = 4096
"""OVERFLOW_LABEL_SETS of probes/include/probed.bpf.h."""

SUMS = Record(24, (Field("count", "u64", 0, 1), Field("remainder", "u64", 8, 1), Field("observed", "u64", 16, 1)))
"""struct overflow."""

TRIES = 8
"""Readings of the counters until no program adds to a map. A program that lost its CPU meanwhile makes it wait."""


class OverflowStats(NamedTuple):
    """Additions by map: begun, kept in the map, and given up."""

    begun: tuple[int, int]
    kept: tuple[int, int]
    left: tuple[int, int]

    def is_at_rest(self, index: int) -> bool:
        """Say whether no program adds to a map whose turn it is not."""
        return self.begun[index] == self.kept[index] + self.left[index]


def map_entries(fd: int, labels: Record) -> Entries:
    """Return the entries of one map, with a layout for its label sets."""
    return Entries(fd, Map("overflow", "hash", labels, LABEL_SETS), 1, dtype(SUMS))


def map_turn(fd: int) -> NDArray[Any]:
    """Map the array `overflow_turn`, shape (1,), dtype uint64. Raises OSError."""
    return np.frombuffer(mmap.mmap(fd, mmap.PAGESIZE), np.uint64, 1)


class Overflow:
    """Two maps, each of which is counted whole or not at all."""

    def __init__(
        self, maps: tuple[Entries, Entries], turn: NDArray[Any], read_stats: Callable[[], OverflowStats], ledger: Ledger
    ) -> None:
        """Go on where an earlier exporter ended: `turn`, shape (1,), is as programs see it. Raises SpoiledState."""
        self._maps = maps
        self._turn = turn
        self._read_stats = read_stats
        self._without_past = set[int]() if ledger.commits else {0, 1}  # maps whose earlier counts are unknown
        self._counted = (ledger.scalar(), ledger.scalar())
        self._counted_map = ledger.scalar()  # a map that was counted and is to be emptied, plus one; 0: none
        require(self._counted_map.value <= len(maps), "there is no such overflow map")
        self._found: tuple[int, int] | None = None

    def waiting(self) -> int:
        """Return how many events wait in the maps. Raises OSError."""
        kept = self._read_stats().kept
        return sum(kept) - sum(counted.value for counted in self._counted)

    def read(self) -> None:
        """Read the map that was not counted yet, or change the turn and read the former one. Raises OSError."""
        self._found = None
        if self.retire():  # of an earlier exporter: not yet committed, so the turn stays
            return
        stats, turn = self._read_stats(), int(self._turn[0]) & 1
        if stats.kept[1 - turn] == self._counted[1 - turn].value:
            if stats.kept[turn] == self._counted[turn].value:
                return
            self._turn[0] = turn = 1 - turn  # the next bpf(2) comes after a lock of Python's, which orders both
        self._read_at_rest(1 - turn)

    def _read_at_rest(self, index: int) -> None:
        for _ in range(TRIES):
            if self._read_stats().is_at_rest(index):
                self._found = index, self._maps[index].read()
                return

    def take(self) -> tuple[NDArray[Any], NDArray[Any], int]:
        """Count the map that `read` found; return label sets and sums, both shape (n,), and how many events lack."""
        if self._found is None:
            return self._maps[0].keys[:0], self._maps[0].values[:0, 0], 0
        index, entries = self._found
        self._found = None
        keys, sums = self._maps[index].keys[:entries], self._maps[index].values[:entries, 0]
        kept = self._read_stats().kept[index]
        lacking = kept - self._counted[index].value - int(sums["count"].sum())
        self._counted[index].value = kept
        self._counted_map.value = index + 1
        if index in self._without_past:
            self._without_past.discard(index)
            lacking = 0
        return keys, sums, lacking

    def retire(self) -> bool:
        """Delete the entries of the map that was counted; say whether there was one. Raises OSError.

        The caller commits before the next `read`.
        """
        index = self._counted_map.value - 1
        if index < 0:
            return False
        content = self._maps[index]
        content.delete(content.keys[: content.read()])  # no copy, which would lose the bytes between two members
        self._counted_map.value = 0
        return True
