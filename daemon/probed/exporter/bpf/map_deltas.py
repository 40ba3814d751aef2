# SPDX-License-Identifier: Apache-2.0
"""MapDeltas of a kernel map's counts since the last reading.

Maps hold absolute counts. As increments, counts pass through the same rows, budget and overflow as events do.
`map_source` owns one `MapDeltas` for each map of counts, which remembers a count for each key, at most as many as the
map has entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex
from probed.exporter.arrays.ledger import MOST_COUNT, Ledger, require
from probed.exporter.arrays.ndarray import NDArray


class MapDeltas:
    """The last counts by key of `words` 64-bit words, at least one; at most `most` keys."""

    def __init__(self, ledger: Ledger, words: int, most: int) -> None:
        """Go on from the last reading of an earlier exporter. Raises SpoiledState."""
        self._index = KeyIndex(words)
        self._most = most
        self._last = ledger.array(most, words + 1)  # words and count of each key, in the index's order
        require(bool((self._last.read()[:, -1] <= MOST_COUNT).all()), "the last count of a map's key is out of range")
        self._index.add(self._last.read()[:, :-1].T)

    def since(self, keys: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the indices of risen keys, shape (m,), dtype intp, and the increments, shape (m,), dtype int64.

        `keys`, shape (words, n), distinct, and `counts`, shape (n,), are the whole map. A count below the last one (two
        CPUs wrote, and an older value won; or a part was on the way into the map) gives no increment until the count
        is higher again.
        """
        there = counts.nonzero()[0]
        numbers = self._number(keys[:, there], keys)
        before = self._last.read()[:, -1].astype(np.int64)
        before = np.concatenate((before, np.zeros(len(self._index) - len(before), np.int64)))[numbers]
        now = counts[there].astype(np.int64)
        risen = (now > before).nonzero()[0]
        if len(risen):
            known = len(self._last)
            last = self._last.write(len(self._index))
            last[known:, :-1] = self._index.keys[:, known:].T
            last[numbers[risen], -1] = now[risen]
        return there[risen], now[risen] - before[risen]

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
        self._index.add(kept[:, :-1].T)
