# SPDX-License-Identifier: Apache-2.0
"""The series of one metric: label text made once a series, numbers until the scrape.

`probe` feeds it with batches of events or with the contents of kernel maps, and takes a `Family` for the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probed.exporter.decoders import Decoder
from probed.exporter.family import Family
from probed.exporter.grouping import Grouping
from probed.exporter.records import key_values, key_words, words_of
from probed.manifest import Field, Metric


class SeriesTable:
    """Rows of counts (and, for a histogram, of buckets and sums), one for each label set."""

    def __init__(self, metric: Metric, fields: tuple[Field, ...], decoders: tuple[Decoder, ...]) -> None:
        """`fields` are those that the labels come from, in their order; `decoders` make their text."""
        self._metric = metric
        self._fields = fields
        self._decoders = decoders
        self._grouping = Grouping(words_of(fields), self._row_of)
        self._rows: dict[tuple[str, ...], int] = {}
        self._labels: list[tuple[str, ...]] = []
        self._slots = len(metric.bounds) + 1 if metric.type == "histogram" else 1
        # A whole number of the field's units is in a bucket when it is at most the bound.
        self._bounds = np.array([round(bound / metric.factor) for bound in metric.bounds], np.int64)
        self._counts = np.zeros((8, self._slots), np.uint64)
        self._sums = np.zeros(8)
        if not fields:
            self._row(())

    def _row_of(self, key: NDArray[Any]) -> int:
        values = key_values(key, self._fields)
        return self._row(tuple(decode(value) for decode, value in zip(self._decoders, values, strict=True)))

    def _row(self, labels: tuple[str, ...]) -> int:
        """Return the row of a label set: keys that differ may still say the same."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = len(self._labels)
            self._labels.append(labels)
            if row == len(self._sums):
                self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
                self._sums = np.concatenate((self._sums, np.zeros_like(self._sums)))
        return row

    def add_events(self, events: NDArray[Any]) -> None:
        """Count a batch, shape (n,), dtype of the ring's records."""
        for name, value in self._metric.when.items():
            events = events[events[name] == value]
        if not len(events):
            return
        rows = self._grouping.rows(key_words(events, self._fields))
        if self._metric.value is None:
            self._add(rows, 1)
            return
        values = events[self._metric.value].astype(np.int64)
        buckets = np.searchsorted(self._bounds, values)
        self._add(rows * self._slots + buckets, self._slots)
        sums = np.bincount(rows, values, len(self._labels))
        self._sums[: len(sums)] += sums * self._metric.factor

    def _add(self, cells: NDArray[Any], slots: int) -> None:
        used = len(self._labels)
        counted = np.bincount(cells, minlength=used * slots).astype(np.uint64)
        self._counts[:used] += counted.reshape(used, slots)

    def set_counts(self, parts: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Take over what the kernel has counted: for each map its keys, shape (n,), and counts, shape (n,)."""
        self._counts[:] = 0
        for keys, counts in parts:
            rows = self._grouping.rows(key_words(keys, self._fields))
            np.add.at(self._counts[:, 0], rows, counts)

    def family(self) -> Family:
        """Return what the page shows now; later counting does not change it."""
        used = len(self._labels)
        metric = self._metric
        histogram = metric.type == "histogram"
        return Family(
            name=metric.name,
            type=metric.type,
            help=metric.help,
            label_names=tuple(label.name for label in metric.labels),
            labels=tuple(self._labels),
            values=np.zeros(0) if histogram else self._counts[:used, 0].copy(),
            bounds=metric.bounds,
            buckets=self._counts[:used].copy() if histogram else np.zeros((0, 0), np.uint64),
            sums=self._sums[:used].copy(),
        )
