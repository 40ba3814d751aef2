# SPDX-License-Identifier: Apache-2.0
"""From the keys of a batch to rows of a series table, without a Python step for each event.

Each metric's table owns one cache. The cache remembers the row of each key, so label text is made once a key, and
follows rows that move. `budget` decides which row a label set has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex, distinct
from probed.exporter.arrays.ndarray import NDArray


class KeyCache:
    """Rows by key of `words` 64-bit words, at least one; at most `most` keys."""

    def __init__(self, words: int, rows_of: Callable[[NDArray[Any]], Sequence[int]], most: int) -> None:
        """Find rows of unknown keys with `rows_of`, and forget all keys past `most`.

        `rows_of` takes distinct keys, shape (words, n), and returns a row, 0 or more, for each.
        """
        self._rows_of = rows_of
        self._most = most
        self._index = KeyIndex(words)
        self._rows = _unknown(self._index.room)

    def forget(self) -> None:
        """Forget every key."""
        self._index.clear()
        self._rows = _unknown(self._index.room)

    def move(self, moves: NDArray[Any]) -> None:
        """Follow rows that move: `moves` is the new row by the old row, as in `Reassignment`."""
        self._rows = moves[self._rows]

    def rows(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Return the row of each key: `keys` shape (words, n), dtype uint64; result shape (n,), dtype intp."""
        rows: NDArray[Any] = self._rows.take(self._index.find(keys), mode="wrap")
        new = (rows < 0).nonzero()[0]
        if len(new):
            fresh, which = distinct(keys[:, new])
            found = np.array(self._rows_of(fresh), np.intp)
            self._remember(fresh, found)
            rows[new] = found[which]
        return rows

    def _remember(self, keys: NDArray[Any], rows: NDArray[Any]) -> None:
        if len(self._index) + len(rows) > self._most:
            self.forget()
        keys, rows = keys[:, : self._most], rows[: self._most]
        self._index.add(keys)
        if len(self._rows) <= self._index.room:
            before, self._rows = self._rows, _unknown(self._index.room)
            self._rows[: len(before)] = before
        self._rows[self._index.find(keys)] = rows


def _unknown(room: int) -> NDArray[Any]:
    """Return rows of -1 for so many keys, and one more for the number -1, which wraps to the end."""
    return np.full(room + 1, -1, np.intp)
