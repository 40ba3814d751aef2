# SPDX-License-Identifier: Apache-2.0
"""The heavy ones among more label sets than there is room for: how often each came at least.

`budget` keeps here the label sets that have no row. The summary is that of Misra and Gries ("Finding repeated
elements", 1982) in the form of Anderson et al. ("A High-Performance Algorithm for Identifying Frequent Items in Data
Streams", IMC 2017): when more than `limit` are kept, the count that half of them do not exceed is subtracted from all,
and who is at 0 is forgotten. That a batch is counted whole before it joins keeps the bound (Agarwal et al., "Mergeable
Summaries", 2012, who also show that Space-Saving is the same summary): of N events, a label set's count is too low by
at most N / (limit // 2 + 1), and never too high. So what came once counts 1, however many such there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray, grown
from probed.exporter.series.label_sets import Labels


class HeavyHitters:
    """Label sets and their guaranteed counts, each at a place 0, 1, 2 …; at most `limit` after `cut`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: dict[Labels, int] = {}
        self._counts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def labels(self) -> list[Labels]:
        """The label sets by place."""
        return list(self._places)

    @property
    def counts(self) -> NDArray[Any]:
        """How often each came at least, by place, shape (n,), dtype int64: a view."""
        self._counts = grown(self._counts, len(self._places))
        return self._counts[: len(self._places)]

    def place(self, labels: Labels) -> int:
        """Return the place of a label set; a new one is last."""
        return self._places.setdefault(labels, len(self._places))

    def find(self, labels: Labels) -> int | None:
        """Return the place of a label set, None when it has none."""
        return self._places.get(labels)

    def add(self, counted: NDArray[Any]) -> None:
        """Count a batch: `counted` by place, shape (m,), m at most n."""
        self.counts[: len(counted)] += counted

    def cut(self) -> NDArray[Any] | None:
        """Say which to keep, shape (n,), dtype bool, where they are too many; None where not."""
        if len(self) <= self._limit:
            return None
        counts = self.counts
        heaviest = self._limit // 2
        counts -= np.partition(counts, -heaviest - 1)[-heaviest - 1]
        kept: NDArray[Any] = counts > 0
        return kept

    def keep(self, kept: NDArray[Any]) -> NDArray[Any]:
        """Forget all but these, shape (n,), dtype bool; return the new place by the old one, -1 for a forgotten one."""
        left = kept.nonzero()[0]
        labels = self.labels
        self._counts = self.counts[left]
        self._places = {labels[old]: new for new, old in enumerate(left.tolist())}
        places = np.full(len(kept), -1, np.intp)
        places[left] = np.arange(len(left))
        return places

    def begin(self) -> None:
        """Begin a new window: every count is 0."""
        self._counts[:] = 0
