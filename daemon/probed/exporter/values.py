# SPDX-License-Identifier: Apache-2.0
"""The numbers of a metric by row: how often, and for a histogram how much.

`series` tells it which row counts what, which rows merge into another and which are gone. It knows no labels.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from probed.exporter.arrays import grown
from probed.manifest import Metric


class Values(Protocol):
    """The numbers of all rows of one metric."""

    def add(self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any]) -> None:
        """Count a batch: `counted` by row, shape (rows,), and of each event its row, shape (n,)."""

    def merge(self, rows: NDArray[Any], into: int) -> None:
        """Move what some rows have to another one; they are at 0 then."""

    def clear(self, rows: NDArray[Any]) -> int:
        """Set rows to 0; return how many events they had."""

    def of(self, rows: NDArray[Any]) -> dict[str, Any]:
        """Return a copy of rows in this order, as `Family` names it."""


class Counts:
    """Events of each row."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.uint64)

    def add(self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any]) -> None:  # noqa: D102
        self._counts = grown(self._counts, len(counted))
        self._counts[: len(counted)] += counted.astype(np.uint64)

    def merge(self, rows: NDArray[Any], into: int) -> None:  # noqa: D102
        self._counts[into] += self._counts[rows].sum()
        self._counts[rows] = 0

    def clear(self, rows: NDArray[Any]) -> int:  # noqa: D102
        had = int(self._counts[rows].sum())
        self._counts[rows] = 0
        return had

    def of(self, rows: NDArray[Any]) -> dict[str, Any]:  # noqa: D102
        self._counts = grown(self._counts, int(rows.max(initial=-1)) + 1)
        return {"values": self._counts[rows]}


class Observations:
    """Buckets and sums of each row.

    A sum is kept in units of the field: whole numbers, which a float64 adds exactly up to 2 to the 53rd (104 days in
    nanoseconds), whatever the order and whichever rows merge.
    """

    def __init__(self, metric: Metric) -> None:
        self._value = str(metric.value)
        self._factor = metric.factor
        self._shown_bounds = metric.bounds
        # A whole number of the field's units is in a bucket when it is at most the bound.
        self._bounds = np.array([round(bound / metric.factor) for bound in metric.bounds], np.int64)
        self._buckets = np.zeros((0, len(metric.bounds) + 1), np.uint64)
        self._sums = np.zeros(0)

    def add(self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any]) -> None:  # noqa: D102
        size, slots = len(counted), self._buckets.shape[1]
        self._grow(size)
        values = events[self._value].astype(np.int64)
        cells = rows * slots + np.searchsorted(self._bounds, values)
        buckets = np.bincount(cells, minlength=size * slots).astype(np.uint64)
        self._buckets[:size] += buckets.reshape(size, slots)
        self._sums[:size] += np.bincount(rows, values, size)

    def merge(self, rows: NDArray[Any], into: int) -> None:  # noqa: D102
        self._buckets[into] += self._buckets[rows].sum(axis=0)
        self._sums[into] += self._sums[rows].sum()
        self.clear(rows)

    def clear(self, rows: NDArray[Any]) -> int:  # noqa: D102
        had = int(self._buckets[rows].sum())
        self._buckets[rows] = 0
        self._sums[rows] = 0
        return had

    def of(self, rows: NDArray[Any]) -> dict[str, Any]:  # noqa: D102
        self._grow(int(rows.max(initial=-1)) + 1)
        sums = self._sums[rows] * self._factor
        return {"bounds": self._shown_bounds, "buckets": self._buckets[rows], "sums": sums}

    def _grow(self, rows: int) -> None:
        self._buckets = grown(self._buckets, rows)
        self._sums = grown(self._sums, rows)
