# SPDX-License-Identifier: Apache-2.0
"""From the keys of a batch to cells of a series table, without a Python step an event.

`series` owns one for each metric. It remembers the cell of each key that it has seen, so that label text is made once
a key, and moves what it remembers when cells move. What a cell is, `budget` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex, distinct
from probed.exporter.arrays.ndarray import NDArray


class KeyCache:
    """Cells for keys of `words` 64-bit words, at least one; `cells_of` finds those of keys that are not remembered.

    It is called with distinct keys, shape (words, n), and returns a cell, 0 or more, for each. `most` keys are
    remembered; past them all are forgotten, and found again as they come.
    """

    def __init__(self, words: int, cells_of: Callable[[NDArray[Any]], Sequence[int]], most: int) -> None:
        self._cells_of = cells_of
        self._most = most
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
            fresh, which = distinct(keys[:, new])
            found = np.array(self._cells_of(fresh), np.intp)
            self._remember(fresh, found)
            cells[new] = found[which]
        return cells

    def _remember(self, keys: NDArray[Any], cells: NDArray[Any]) -> None:
        if len(self._index) + len(cells) > self._most:
            self.forget()
        keys, cells = keys[:, : self._most], cells[: self._most]
        self._index.add(keys)
        if len(self._cells) <= self._index.room:
            before, self._cells = self._cells, _none(self._index.room)
            self._cells[: len(before)] = before
        self._cells[self._index.find(keys)] = cells


def _none(room: int) -> NDArray[Any]:
    """Return so many cells that are not known. One more is no key's: number -1 wraps to it."""
    return np.full(room + 1, -1, np.intp)
