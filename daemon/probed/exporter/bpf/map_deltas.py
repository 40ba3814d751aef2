# SPDX-License-Identifier: Apache-2.0
"""MapDeltas of a kernel map's counts since the last reading.

Maps hold absolute counts. As increments, counts pass through the same rows, budget and overflow as events do.
`map_source` owns one `MapDeltas` for each map of counts, which remembers the counts of each key, at most as many as the
map has entries. A map of counts has one count for each key, a map of buckets a sum and a count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex
from probed.exporter.arrays.ledger import MOST_COUNT, Ledger, require
from probed.exporter.arrays.ndarray import NDArray

MOST_SUM = (1 << 63) - 1
"""Bound of the sum of a bucket, which a larger sum counts as: 292 years in nanoseconds."""


class MapDeltas:
    """The last `counts` counts by key of `words` 64-bit words, both at least one; at most `most` keys."""

    def __init__(self, ledger: Ledger, words: int, most: int, counts: int = 1) -> None:
        """Go on from the last reading of an earlier exporter. Raises SpoiledState."""
        self._index = KeyIndex(words)
        self._words = words
        self._counts = counts
        self._most = most
        self._last = ledger.array(most, words + counts)  # words and counts of each key, in the index's order
        require(bool((self._last.read()[:, -1] <= MOST_COUNT).all()), "the last count of a map's key is out of range")
        require(bool((self._last.read()[:, words:] <= MOST_SUM).all()), "the last sum of a map's key is out of range")
        self._index.add(self._last.read()[:, :words].T)

    def since(self, keys: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the indices of risen keys, shape (m,), dtype intp, and the increments, shape (m,), dtype int64.

        `keys`, shape (words, n), distinct, and `counts`, shape (n,), are the whole map; with several counts for each
        key, `counts` has the shape (n, counts), the result (m, counts). A count below the last one (two CPUs wrote, and
        an older value won; or a part was on the way into the map) gives no increment until the count is higher again.
        """
        now = np.minimum(counts.reshape(len(counts), self._counts), MOST_SUM)
        there = now.any(axis=1).nonzero()[0]
        numbers = self._number(keys[:, there], keys)
        known = self._last.read()[:, self._words :].astype(np.int64)
        new = np.zeros((len(self._index) - len(known), self._counts), np.int64)
        before = np.concatenate((known, new))[numbers]
        by = np.maximum(now[there].astype(np.int64) - before, 0)
        risen = by.any(axis=1).nonzero()[0]
        if len(risen):
            last = self._last.write(len(self._index))
            last[len(known) :, : self._words] = self._index.keys[:, len(known) :].T
            last[numbers[risen], self._words :] = (before + by)[risen]
        return there[risen], by[risen].reshape(-1, *counts.shape[1:])

    def _number(self, keys: NDArray[Any], all_keys: NDArray[Any]) -> NDArray[Any]:
        numbers = self._index.find(keys)
        new = (numbers < 0).nonzero()[0]
        if not len(new):
            return numbers
        if len(self._index) + len(new) > self._most:
            self._forget_all_but(all_keys)
        self._index.add(keys)
        return self._index.find(keys)

    def _forget_all_but(self, keys: NDArray[Any]) -> None:
        """Forget the keys of deleted entries."""
        numbers = self._index.find(keys)
        kept = self._last.read()[numbers[numbers >= 0]]
        self._last.write(0)[: len(kept)] = kept
        self._last.resize(len(kept))
        self._index.clear()
        self._index.add(kept[:, : self._words].T)
