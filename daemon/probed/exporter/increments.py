# SPDX-License-Identifier: Apache-2.0
"""What kernel maps have counted since they were last read.

Maps hold absolute counts. As increments they pass through the same rows, budget and overflow as events do, and what
one series hands to another is never counted twice. `series` owns one for a metric with maps. It remembers a count for
each key, as many as the maps have entries: that bounds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probed.exporter.keys import KeyIndex, distinct
from probed.exporter.ledger import Ledger


class Increments:
    """The last counts, by key of `words` 64-bit words, at least one; at most `most` keys."""

    def __init__(self, ledger: Ledger, words: int, most: int) -> None:
        """Go on from what an earlier exporter had read."""
        self._index = KeyIndex(words)
        self._last = ledger.array(most, words + 1)  # of each key its words and its count, in the index's order
        self._index.add(self._last.read()[:, :-1].T)

    def since(self, keys: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the keys whose count has risen, shape (words, m), and by how much, shape (m,), dtype int64.

        `keys` shape (words, n), `counts` shape (n,): all that there are; counts of equal keys add up. A sum that is
        lower than it was (two CPUs wrote one count, and an older value won) gives nothing until it is higher again.
        """
        numbers = self._number(keys)
        totals = np.zeros(len(self._index), np.int64)
        np.add.at(totals, numbers, counts.astype(np.int64))
        known = len(self._last)
        before = np.zeros(len(totals), np.int64)
        before[:known] = self._last.read()[:, -1]
        risen = (totals > before).nonzero()[0]
        if len(risen):
            last = self._last.write(len(totals))
            last[known:, :-1] = self._index.keys[:, known:].T
            last[risen, -1] = totals[risen]
        return self._index.keys[:, risen], totals[risen] - before[risen]

    def _number(self, keys: NDArray[Any]) -> NDArray[Any]:
        numbers = self._index.find(keys)
        new = (numbers < 0).nonzero()[0]
        if not len(new):
            return numbers
        self._index.add(distinct(keys[:, new])[0])
        return self._index.find(keys)
