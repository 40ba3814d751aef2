# SPDX-License-Identifier: Apache-2.0
"""The numbers of a metric by row: events, and for a histogram buckets and sums.

`table` says which rows count, merge or are cleared; labels are unknown here. The numbers lie in a ledger and become
valid with its next commit.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from probed.exporter.arrays.ledger import MOST_COUNT, Ledger, require
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.histograms.native_buckets import NativeBuckets
from probed.exporter.series.weights import Weights
from probed.ipc.manifest import ResolvedMetric


class Values(Protocol):
    """The numbers of all rows of one metric."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def add(
        self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any], weights: Weights | None = None
    ) -> None:
        """Count a batch: `counted` by row, shape (rows,), and of each event its row, shape (n,)."""

    def merge(self, rows: NDArray[Any], into: int) -> int:
        """Move the numbers of some rows to another row, and set them to 0; return how many events that is."""

    def clear(self, rows: NDArray[Any]) -> int:
        """Set rows to 0; return how many events they had."""

    def of(self, rows: NDArray[Any]) -> dict[str, Any]:
        """Return a copy of rows in this order, by names of `Family`."""


class Counts:
    """Events of each row, at most `rows` rows."""

    def __init__(self, ledger: Ledger, rows: int, factor: float = 1.0) -> None:
        """Take over the numbers of an earlier exporter; show them times `factor`. Raises SpoiledState."""
        self._factor = factor
        self._counts = ledger.array(rows, 1)
        require(bool((self._counts.read() <= MOST_COUNT).all()), "a count is out of range")

    def __len__(self) -> int:
        return len(self._counts)

    def add(  # noqa: D102
        self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any], weights: Weights | None = None
    ) -> None:
        self._counts.write(len(counted))[: len(counted), 0] += counted.astype(np.uint64)

    def merge(self, rows: NDArray[Any], into: int) -> int:  # noqa: D102
        had = self.clear(rows)
        self._counts.write(into + 1)[into] += np.uint64(had)
        return had

    def clear(self, rows: NDArray[Any]) -> int:  # noqa: D102
        counts = self._counts.write(int(rows.max(initial=-1)) + 1)
        had = int(counts[rows].sum())
        counts[rows] = 0
        return had

    def of(self, rows: NDArray[Any]) -> dict[str, Any]:  # noqa: D102
        counts = _rows_of(self._counts.read(), rows)[:, 0]
        return {"values": counts if self._factor == 1 else counts * self._factor}


class Observations:
    """Buckets and sum of each row, at most `rows` rows.

    Buckets are classic, and native too where the declaration asks for them.

    A sum is kept in units of the field: a float64 adds whole numbers exactly up to 2 to the 53rd (104 days in
    nanoseconds), in any order and for any merge of rows.
    """

    def __init__(self, ledger: Ledger, rows: int, metric: ResolvedMetric) -> None:
        """Take over the numbers of an earlier exporter. Raises SpoiledState."""
        self._value = str(metric.value)
        self._factor = metric.factor
        self._shown_bounds = metric.bounds
        # A whole number of the field's units is in a bucket when it is at most the bound.
        self._bounds = np.array([round(bound / metric.factor) for bound in metric.bounds], np.int64)
        self._numbers = ledger.array(rows, len(metric.bounds) + 2)  # the buckets, and the bits of the sum
        taken_over = self._numbers.read()
        require(bool((taken_over[:, :-1] <= MOST_COUNT).all()), "a bucket is out of range")
        require(bool(np.isfinite(_sums(taken_over)).all()), "a histogram's sum is no number")
        self._native = None
        if metric.schema is not None:
            self._native = NativeBuckets(ledger, rows, metric.schema, metric.factor)
            classic = np.zeros(rows, np.int64)
            classic[: len(taken_over)] = taken_over[:, :-1].sum(axis=1)
            require(np.array_equal(classic, self._native.observations(rows)), "classic and native buckets do not agree")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(  # noqa: D102
        self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any], weights: Weights | None = None
    ) -> None:
        size = len(counted)
        numbers = self._numbers.write(size)[:size]
        slots = numbers.shape[1] - 1
        values = sums = events[self._value].astype(np.int64)
        times = None
        if weights is not None:
            times, remainders = weights.times, weights.remainders_of(events, self._value)
            sums = values * times + remainders
            values = values + remainders // times  # the mean of the exact values
        bucket_of_row = rows * slots + np.searchsorted(self._bounds, values)
        buckets = np.bincount(bucket_of_row, times, size * slots).astype(np.uint64)
        numbers[:, :-1] += buckets.reshape(size, slots)
        _sums(numbers)[:] += np.bincount(rows, sums, size)
        if self._native:
            self._native.add(rows, values, size, times)

    def merge(self, rows: NDArray[Any], into: int) -> int:  # noqa: D102
        numbers = self._numbers.write(max(into, int(rows.max(initial=-1))) + 1)
        numbers[into, :-1] += numbers[rows, :-1].sum(axis=0)
        _sums(numbers)[into] += _sums(numbers)[rows].sum()
        if self._native:
            self._native.merge(rows, into)
        return self.clear(rows)

    def clear(self, rows: NDArray[Any]) -> int:  # noqa: D102
        numbers = self._numbers.write(int(rows.max(initial=-1)) + 1)
        had = int(numbers[rows, :-1].sum())
        numbers[rows] = 0
        if self._native:
            self._native.clear(rows)
        return had

    def of(self, rows: NDArray[Any]) -> dict[str, Any]:  # noqa: D102
        numbers = _rows_of(self._numbers.read(), rows)
        return {
            "bounds": self._shown_bounds,
            "buckets": numbers[:, :-1],
            "sums": _sums(numbers) * self._factor,
            "native": self._native.of(rows) if self._native else None,
        }


class BucketSums(Observations):
    """The same from increments of kernel maps, `bucket_increments`: the kernel has found the buckets."""

    def add(  # noqa: D102
        self, counted: NDArray[Any], rows: NDArray[Any], events: NDArray[Any], weights: Weights | None = None
    ) -> None:
        assert weights is not None
        size = len(counted)
        numbers = self._numbers.write(size)[:size]
        slots = numbers.shape[1] - 1
        buckets = np.bincount(rows * slots + np.minimum(events["bucket"], slots - 1), weights.times, size * slots)
        numbers[:, :-1] += buckets.astype(np.uint64).reshape(size, slots)
        _sums(numbers)[:] += np.bincount(rows, events["sum"], size)


def bucket_increments(numbers: NDArray[Any], by: NDArray[Any]) -> NDArray[Any]:
    """Return increments of buckets as events, shape (n,): `numbers` of buckets, shape (n,), `by` as in a map, (n, 2).

    A number beyond the last bound is of the bucket +Inf.
    """
    events = np.zeros(len(numbers), [("bucket", np.int64), ("sum", np.int64)])
    events["bucket"] = np.minimum(numbers.astype(np.uint64), np.iinfo(np.int64).max)
    events["sum"] = by[:, 0]
    return events


def _sums(numbers: NDArray[Any]) -> NDArray[Any]:
    return numbers[:, -1].view(np.float64)


def _rows_of(numbers: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of rows, with 0 for rows never written."""
    copy = np.zeros((len(rows), numbers.shape[1]), np.uint64)
    there = rows < len(numbers)
    copy[there] = numbers[rows[there]]
    return copy
