# SPDX-License-Identifier: Apache-2.0
"""Hash maps for events with a weight that found the ring full.

Each of two turns has two maps: one of label sets, and one of `others`, label sets without room in the first, of which
only the members are left by which metrics choose events. Programs add to the maps of the present turn. The exporter
gives the turn to the other maps, waits until no program adds to the former ones, counts their entries and deletes them.
`weighted_events` owns the object and calls `read`, `take`, and after the counts have been committed `retire`.

Programs count in the turn's STAT_BEGUN before they look at the turn a second time and add, and in STAT_KEPT or
STAT_LEFT after it. So once both sums are equal after the turn has changed, no program adds to those maps any more.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ledger import Ledger, require
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.map_reader import Entries
from probed.ipc.manifest import Field, Map, Record

LABEL_SETS, OTHERS = 8192, 1024
"""OVERFLOW_LABEL_SETS and OVERFLOW_OTHERS of probes/include/probed.bpf.h."""

SUMS = Record(24, (Field("count", "u64", 0, 1), Field("remainder", "u64", 8, 1), Field("observed", "u64", 16, 1)))
"""struct overflow."""

TRIES = 8
"""Readings of the counters until no program adds to a turn's maps. A program that lost its CPU makes them wait."""

Counted: TypeAlias = "tuple[NDArray[Any], NDArray[Any]]"
"""Label sets and sums, both shape (n,)."""


class OverflowStats(NamedTuple):
    """Additions by turn: begun, kept in a map, and given up."""

    begun: tuple[int, int]
    kept: tuple[int, int]
    left: tuple[int, int]

    def is_at_rest(self, index: int) -> bool:
        """Say whether no program adds to the maps of the former turn."""
        return self.begun[index] == self.kept[index] + self.left[index]


class TurnMaps(NamedTuple):
    """The maps of one turn."""

    label_sets: Entries
    others: Entries

    @classmethod
    def of(cls, label_sets: int, others: int, labels: Record) -> TurnMaps:
        """Return the entries of two maps, by fd, with a layout for their label sets."""
        return cls(*(
            Entries(fd, Map("overflow", "hash", labels, entries), 1, dtype(SUMS))
            for fd, entries in ((label_sets, LABEL_SETS), (others, OTHERS))
        ))  # fmt: skip


def map_turn(fd: int) -> NDArray[Any]:
    """Map the array `overflow_turn`, shape (1,), dtype uint64. Raises OSError."""
    return np.frombuffer(mmap.mmap(fd, mmap.PAGESIZE), np.uint64, 1)


class Overflow:
    """The maps of two turns; those of one are counted whole or not at all."""

    def __init__(
        self,
        maps: tuple[TurnMaps, TurnMaps],
        turn: NDArray[Any],
        read_stats: Callable[[], OverflowStats],
        ledger: Ledger,
    ) -> None:
        """Go on where an earlier exporter ended: `turn`, shape (1,), is as programs see it. Raises SpoiledState."""
        self._maps = maps
        self._turn = turn
        self._read_stats = read_stats
        self._without_past = set[int]() if ledger.commits else {0, 1}  # turns whose earlier counts are unknown
        self._counted = (ledger.scalar(), ledger.scalar())
        self._counted_map = ledger.scalar()  # a turn whose maps were counted and are to be emptied, plus one; 0: none
        require(self._counted_map.value <= len(maps), "there is no such turn of the overflow maps")
        self._found: tuple[int, list[int]] | None = None

    def waiting(self) -> int:
        """Return how many events wait in the maps. Raises OSError."""
        kept = self._read_stats().kept
        return sum(kept) - sum(counted.value for counted in self._counted)

    def read(self) -> None:
        """Read the maps that were not counted yet, or change the turn and read the former ones. Raises OSError."""
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
                self._found = index, [each.read() for each in self._maps[index]]
                return

    def take(self) -> tuple[Counted, Counted, int] | None:
        """Count the maps that `read` found; return label sets, others, and how many events lack. None for no maps."""
        if self._found is None:
            return None
        index, entries = self._found
        self._found = None
        label_sets, others = (
            (each.keys[:count], each.values[:count, 0]) for each, count in zip(self._maps[index], entries, strict=True)
        )
        kept = self._read_stats().kept[index]
        counted = sum(int(sums["count"].sum()) for _, sums in (label_sets, others))
        lacking = kept - self._counted[index].value - counted
        self._counted[index].value = kept
        self._counted_map.value = index + 1
        if index in self._without_past:
            self._without_past.discard(index)
            lacking = 0
        return label_sets, others, lacking

    def retire(self) -> bool:
        """Delete the entries of the maps that were counted; say whether there were any. Raises OSError.

        The caller commits before the next `read`.
        """
        index = self._counted_map.value - 1
        if index < 0:
            return False
        for each in self._maps[index]:
            each.delete(each.keys[: each.read()])  # no copy, which would lose the bytes between two members
        self._counted_map.value = 0
        return True
