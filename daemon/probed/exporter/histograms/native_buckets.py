# SPDX-License-Identifier: Apache-2.0
"""The native buckets of a histogram by row: sparse, exact, and at most `MOST_BUCKETS` a row.

`values.Observations` owns one for each histogram with a native form. A cell is one bucket of one row with at least one
observation. The cells lie in the ledger, so a commit keeps them together with all other numbers; an index in the
exporter's own memory finds the cell of a bucket.

A row begins at the metric's schema. When a batch takes a row beyond `MOST_BUCKETS`, the row's resolution is halved
until the row fits, as client_golang does. The schema depends only on the observations, not on their order or batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex
from probed.exporter.arrays.ledger import MOST_COUNT, Ledger, require
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.exposition.family import NativeHistograms, SparseBuckets
from probed.exporter.histograms.exponential_buckets import coarser, indexes, values_of

MOST_BUCKETS = 160
"""Most buckets of a row, the zero bucket not counted: client_golang's recommendation."""

LEAST_SCHEMA = -4
"""The coarsest schema: each bucket ends at 65,536 times the end of the one before."""

_INDEX_BITS = 17
_MIDDLE = 1 << _INDEX_BITS - 1  # the code of index 0; indexes of schema 8 are within ±2**14 here
_INDEX_MASK = (1 << _INDEX_BITS) - 1
_ZERO, _NEGATIVE, _POSITIVE = range(3)
_ROW_SHIFT = _INDEX_BITS + 2
"""A key is the row, then the side of 0 in two bits, then the index; sorted keys are sorted by all three."""


class NativeBuckets:
    """The cells of at most `rows` rows, for observations in units of `unit` base units."""

    def __init__(self, ledger: Ledger, rows: int, schema: int, unit: float) -> None:
        """Take over the cells of an earlier exporter. Raises SpoiledState."""
        self._schema = schema
        self._unit = unit
        self._halvings = ledger.array(rows, 1)
        self._keys = ledger.array(rows * (MOST_BUCKETS + 1), 1)
        self._counts = ledger.array(rows * (MOST_BUCKETS + 1), 1)
        require(bool((self._halvings.read() <= schema - LEAST_SCHEMA).all()), "a resolution is out of range")
        require(bool((self._keys.read() >> np.uint64(_ROW_SHIFT) < rows).all()), "a native bucket has no row")
        require(len(self._keys.read()) == len(self._counts.read()), "native buckets and their counts do not agree")
        require(bool((self._counts.read() <= MOST_COUNT).all()), "a native bucket is out of range")
        require(len(np.unique(self._keys.read())) == len(self._keys), "a native bucket is there twice")
        self._index = KeyIndex(1)
        self._index.add(self._keys.read().T)
        self._order: NDArray[Any] | None = None

    def add(self, rows: NDArray[Any], observed: NDArray[Any], size: int, times: NDArray[Any] | None = None) -> None:
        """Count observations, dtype int64, in rows below `size`, each once or `times`; all of shape (n,)."""
        keys = self._keys_of(rows, observed)
        halvings = self._halvings.write(size)[:size, 0].astype(np.int64)
        if halvings.any():
            keys = _coarser_keys(keys, halvings[rows])
        cells = self._index.find(keys.view(np.uint64)[np.newaxis])
        if (cells < 0).any():
            new = np.unique(keys[cells < 0])
            if self._is_full(new):
                counts = np.append(self._all_counts(), np.ones_like(keys) if times is None else times)
                self._rewrite(*_summed(np.append(self._all_keys(), keys), counts))
                return
            self._append(new)
            cells = self._index.find(keys.view(np.uint64)[np.newaxis])
        used = len(self._index)
        self._counts.write(used)[:, 0] += np.bincount(cells, times, used).astype(np.uint64)

    def _keys_of(self, rows: NDArray[Any], observed: NDArray[Any]) -> NDArray[Any]:
        """Return the key of each observation at the metric's schema."""
        keys: NDArray[Any] = rows.astype(np.int64) << _ROW_SHIFT
        if observed.min(initial=1) > 0:  # the usual case, in half the time
            return (keys | _POSITIVE << _INDEX_BITS) + (
                indexes(values_of(observed, self._unit), self._schema) + _MIDDLE
            )
        there = observed.nonzero()[0]
        values = values_of(np.abs(observed[there]), self._unit)
        side = np.where(observed[there] < 0, _NEGATIVE, _POSITIVE) << _INDEX_BITS
        keys[there] |= side | indexes(values, self._schema) + _MIDDLE
        return keys

    def _all_keys(self) -> NDArray[Any]:
        return self._keys.read()[:, 0].view(np.int64)

    def _all_counts(self) -> NDArray[Any]:
        return self._counts.read()[:, 0].view(np.int64)

    def _is_full(self, new: NDArray[Any]) -> bool:
        """Say whether new cells would take a row beyond `MOST_BUCKETS`."""
        return bool((_buckets_by_row(np.append(self._all_keys(), new)) > MOST_BUCKETS).any())

    def _append(self, new: NDArray[Any]) -> None:
        first, used = len(self._index), len(self._index) + len(new)
        self._keys.write(used)[first:, 0] = new.view(np.uint64)
        self._index.add(new.view(np.uint64)[np.newaxis])
        self._order = None

    def _rewrite(self, keys: NDArray[Any], counts: NDArray[Any]) -> None:
        """Replace all cells by these, distinct ones, with the resolution of rows halved that have too many."""
        while True:
            full = _buckets_by_row(keys) > MOST_BUCKETS
            halvings = self._halvings.write(len(full))[: len(full), 0]
            full &= self._schema - halvings.astype(np.int64) > LEAST_SCHEMA
            if not full.any():
                break
            halvings[full] += np.uint64(1)
            keys, counts = _summed(_coarser_keys(keys, full[keys >> _ROW_SHIFT].astype(np.int64)), counts)
        for array, words in ((self._keys, keys), (self._counts, counts)):
            array.write(len(words))[: len(words), 0] = words.view(np.uint64)
            array.resize(len(words))
        self._index.clear()
        self._index.add(keys.view(np.uint64)[np.newaxis])
        self._order = None

    def observations(self, rows: int) -> NDArray[Any]:
        """Return the observations of each of so many rows, shape (rows,)."""
        sums = np.zeros(rows, np.int64)
        np.add.at(sums, self._all_keys() >> _ROW_SHIFT, self._all_counts())
        return sums

    def merge(self, rows: NDArray[Any], into: int) -> None:
        """Move the cells of some rows to another row, at the least resolution of all of them."""
        merged = np.append(rows, into)
        halvings = self._halvings.write(int(merged.max()) + 1)[:, 0].view(np.int64)
        keys = self._all_keys()
        row = keys >> _ROW_SHIFT
        moves = np.isin(row, merged)
        most = halvings[merged].max()
        keys = _coarser_keys(keys, np.where(moves, most - halvings[row], 0))
        keys = np.where(moves, keys & (1 << _ROW_SHIFT) - 1 | into << _ROW_SHIFT, keys)
        halvings[rows], halvings[into] = 0, most
        self._rewrite(*_summed(keys, self._all_counts()))

    def clear(self, rows: NDArray[Any]) -> None:
        """Remove the cells of rows; the rows begin at the metric's schema again."""
        self._halvings.write(int(rows.max(initial=-1)) + 1)[rows, 0] = 0
        keys = self._all_keys()
        stays = ~np.isin(keys >> _ROW_SHIFT, rows)
        self._rewrite(keys[stays], self._all_counts()[stays])

    def of(self, rows: NDArray[Any]) -> NativeHistograms:
        """Return a copy of rows, shape (n,), in this order."""
        if self._order is None:
            self._order = np.argsort(self._all_keys())
        keys, counts = self._all_keys()[self._order], self._counts.read()[self._order, 0]
        place = np.full(max(int(rows.max(initial=0)), int(keys[-1] >> _ROW_SHIFT) if len(keys) else 0) + 1, -1)
        place[rows] = np.arange(len(rows))
        series = place[keys >> _ROW_SHIFT]
        if (np.diff(rows) < 0).any():
            order = np.argsort(series, kind="stable")
            keys, counts, series = keys[order], counts[order], series[order]
        side = keys >> _INDEX_BITS & 3
        side[series < 0] = -1
        zeros = np.zeros(len(rows), np.uint64)
        zeros[series[side == _ZERO]] = counts[side == _ZERO]
        halvings = np.zeros(len(rows), np.int64)
        there = rows < len(self._halvings)
        halvings[there] = self._halvings.read()[rows[there], 0]
        positive, negative = (
            SparseBuckets(series[side == each], (keys[side == each] & _INDEX_MASK) - _MIDDLE, counts[side == each])
            for each in (_POSITIVE, _NEGATIVE)
        )
        return NativeHistograms(self._schema - halvings, zeros, positive, negative)


def _coarser_keys(keys: NDArray[Any], halvings: NDArray[Any]) -> NDArray[Any]:
    """Return the keys of the same rows after so many halvings, shape (n,), each."""
    index = (keys & _INDEX_MASK) - _MIDDLE
    result: NDArray[Any] = np.where(_is_zero(keys), keys, keys - index + coarser(index, halvings))
    return result


def _is_zero(keys: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = keys >> _INDEX_BITS & 3 == _ZERO
    return result


def _buckets_by_row(keys: NDArray[Any]) -> NDArray[Any]:
    """Count the buckets of each row up to the last row, without zero buckets."""
    rows = keys >> _ROW_SHIFT
    return np.bincount(rows[~_is_zero(keys)], minlength=int(rows.max(initial=-1)) + 1)


def _summed(keys: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return distinct keys with the sum of their counts."""
    distinct, which = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, which, counts)
    return distinct, sums
