# SPDX-License-Identifier: Apache-2.0
"""A bounded summary of the most frequent label sets: at least how often each came.

`budget` keeps the waiting label sets here. The algorithm is the one of Misra and Gries ("Finding repeated elements",
1982) in the form of Anderson et al. ("A High-Performance Algorithm for Identifying Frequent Items in Data Streams",
IMC 2017): when more than `limit` are kept, the count exceeded by half of them is subtracted from all, and label sets at
0 are forgotten. Each batch is counted whole before it joins, which keeps the bound (Agarwal et al., "Mergeable
Summaries", 2012, who also show that Space-Saving is the same summary): of N events, the count of a label set is too low
by at most N / (limit // 2 + 1), and never too high. So label sets that came once count 1, however many there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray, grown
from probed.exporter.series.label_sets import Labels


class HeavyHitters:
    """Label sets and their guaranteed counts, in rows 0, 1, 2 …; at most `limit` after an eviction."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[Labels, int] = {}
        self._counts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def labels(self) -> list[Labels]:
        """The label sets by row."""
        return list(self._rows)

    @property
    def counts(self) -> NDArray[Any]:
        """The guaranteed counts by row, shape (n,), dtype int64: a view."""
        self._counts = grown(self._counts, len(self._rows))
        return self._counts[: len(self._rows)]

    def row(self, labels: Labels) -> int:
        """Return the row of a label set; a new label set gets the next row."""
        return self._rows.setdefault(labels, len(self._rows))

    def find(self, labels: Labels) -> int | None:
        """Return the row of a label set, None without one."""
        return self._rows.get(labels)

    def add(self, counted: NDArray[Any]) -> None:
        """Count a batch: `counted` by row, shape (m,), m at most n."""
        self.counts[: len(counted)] += counted

    def evict(self) -> NDArray[Any] | None:
        """Subtract from all counts when there are too many label sets.

        Returns which rows to keep, shape (n,), dtype bool; None when there is room for all.
        """
        if len(self) <= self._limit:
            return None
        counts = self.counts
        heaviest = self._limit // 2
        counts -= np.partition(counts, -heaviest - 1)[-heaviest - 1]
        kept: NDArray[Any] = counts > 0
        return kept

    def keep(self, kept: NDArray[Any]) -> NDArray[Any]:
        """Forget all rows but some, shape (n,), dtype bool; return the new row by the old one, -1 when forgotten."""
        left = kept.nonzero()[0]
        labels = self.labels
        self._counts = self.counts[left]
        self._rows = {labels[old]: new for new, old in enumerate(left.tolist())}
        rows = np.full(len(kept), -1, np.intp)
        rows[left] = np.arange(len(left))
        return rows

    def begin_window(self) -> None:
        """Set every count to 0."""
        self._counts[:] = 0
