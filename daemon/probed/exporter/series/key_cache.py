# SPDX-License-Identifier: Apache-2.0
"""From the keys of a batch to cells of a series table, without a Python step an event.

`table` owns one for each metric. The cache remembers the cell of each key, so label text is made once a key, and
follows cells that move. `budget` decides which cell a label set has.

Label text takes microseconds a key, and any local user can make new keys: a process that renames itself before each
system call makes one an event. So the cache resolves only so many new keys (`Allowance`). Beyond that, the keys with
the most events in the batch are resolved, and the others count into the cell `other` by their numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex, distinct
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.series.budget import OTHER

BURST_KEYS = 1 << 13
"""New keys that are resolved at once: thousands of control groups begin while no page is asked for."""

KEYS_A_SECOND = 20_000
"""New keys that are resolved a second in the long run: a tenth of a CPU."""

LEAST_KEYS_A_BATCH = 1 << 6
"""New keys that every batch may resolve, the heaviest first: a key with a share of the events always gets its row."""


class Allowance:
    """A token bucket of new keys, by `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with a full bucket."""
        self._clock = clock
        self._tokens = float(BURST_KEYS)
        self._filled_at = clock()

    def available(self) -> int:
        """Return how many new keys a batch may resolve, LEAST_KEYS_A_BATCH or more."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled_at) * KEYS_A_SECOND, BURST_KEYS)
        self._filled_at = now
        return max(int(self._tokens), LEAST_KEYS_A_BATCH)

    def use(self, keys: int) -> None:
        """Take tokens for keys that a batch resolved."""
        self._tokens = max(self._tokens - keys, 0.0)


class Grouping:
    """Cells for keys of `words` 64-bit words, at least one; `cells_of` finds the cells of keys that are new.

    It is called with distinct keys, shape (words, n), and returns a cell, 0 or more, for each. `most` keys are
    remembered. When there are more, the cache forgets the keys of cells from `first_waiting` on, and keeps those of
    rows. New keys without an allowance get the cell `OTHER` of `budget`.
    """

    def __init__(
        self,
        words: int,
        cells_of: Callable[[NDArray[Any]], Sequence[int]],
        most: int,
        first_waiting: int,
        allowance: Allowance | None = None,
    ) -> None:
        """Without an allowance, every new key is resolved."""
        self._cells_of = cells_of
        self._most = most
        self._first_waiting = first_waiting
        self._allowance = allowance
        self._index = KeyIndex(words)
        self._cells = _none(self._index.room)

    def forget(self) -> None:
        """Forget every key."""
        self._index.clear()
        self._cells = _none(self._index.room)

    def move(self, moves: NDArray[Any]) -> None:
        """Follow cells that move: `moves` is the new cell by the old one, -1 for one that is gone, and ends in -1."""
        self._cells = moves[self._cells]

    def cells(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Return the cell of each key: `keys` shape (words, n), dtype uint64; result shape (n,), dtype intp."""
        cells: NDArray[Any] = self._cells.take(self._index.find(keys), mode="wrap")
        new = (cells < 0).nonzero()[0]
        if len(new):
            if self._allowance:
                cells[new] = OTHER
                new = self._allowed(self._allowance, keys, new)
            fresh, which = distinct(keys[:, new])
            if self._allowance:
                self._allowance.use(fresh.shape[1])
            found = np.array(self._cells_of(fresh), np.intp)
            self._remember(fresh, found)
            cells[new] = found[which]
        return cells

    def _allowed(self, allowance: Allowance, keys: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        """Return those of the new events, by their places in `keys`, whose keys may be resolved now."""
        most = allowance.available()
        if len(new) <= most:
            return new
        result: NDArray[Any] = new[_is_of_heaviest(self._index.hashes(keys[:, new]), most)]
        return result

    def _remember(self, keys: NDArray[Any], cells: NDArray[Any]) -> None:
        if len(self._index) + len(cells) > self._most:
            self._forget_waiting()
        room = self._most - len(self._index)
        keys, cells = keys[:, :room], cells[:room]
        self._add(keys, cells)

    def _forget_waiting(self) -> None:
        """Forget the keys of cells that are no rows; all keys, if rows alone have more than half of the room."""
        cells = self._cells[: len(self._index)]
        kept = ((cells >= 0) & (cells < self._first_waiting)).nonzero()[0]
        keys, cells = self._index.keys[:, kept], cells[kept]
        self.forget()
        if 2 * len(kept) <= self._most:
            self._add(keys, cells)

    def _add(self, keys: NDArray[Any], cells: NDArray[Any]) -> None:
        self._index.add(keys)
        if len(self._cells) <= self._index.room:
            before, self._cells = self._cells, _none(self._index.room)
            self._cells[: len(before)] = before
        self._cells[self._index.find(keys)] = cells


def _is_of_heaviest(hashes: NDArray[Any], most: int) -> NDArray[Any]:
    """Return which keys are among the `most` that occur most often, by their hashes, shape (n,); result dtype bool.

    Of keys that occur equally often the earlier ones are taken: those with the greatest hashes would lie side by side
    in the index.
    """
    _, first, which, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if len(counts) <= most:
        return np.ones(len(hashes), bool)
    heaviest = np.zeros(len(counts), bool)
    heaviest[np.argpartition(counts * len(hashes) - first, -most)[-most:]] = True
    result: NDArray[Any] = heaviest[which]
    return result


def _none(room: int) -> NDArray[Any]:
    """Return so many cells that are not known. One more is no key's: number -1 wraps to it."""
    return np.full(room + 1, -1, np.intp)
