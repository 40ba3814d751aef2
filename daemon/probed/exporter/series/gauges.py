# SPDX-License-Identifier: Apache-2.0
"""The series of one gauge: present values by label set, never more series than the budget. Pure.

`probe_tables` hands over the contents of maps or iterators at each reading, and takes a `Family` for the page. No value
outlives a reading: entries with the same label set are added up, and a series leaves with its entries.

Of more label sets than the budget allows, those with the largest values (regardless of sign) have a series each; the
others are added up in `other`. A label set on the page counts `FACTOR` times, so series of similar values do not change
places at each scrape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import key_words, words_of
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.decoders.fold import Decoder
from probed.exporter.exposition.family import Family
from probed.exporter.series.budget import DROPPED, FACTOR, FIRST, OTHER
from probed.exporter.series.key_cache import Allowance, KeyCache
from probed.exporter.series.label_sets import OTHER_TEXT, Labels, label_sets
from probed.exporter.series.scrapers import UNATTENDED, Scrape
from probed.exporter.series.table import LEAST_KEYS, SeriesUsage
from probed.ipc.manifest import Field, ResolvedMetric


class GaugeTable:
    """The label sets of one gauge with their values of the last reading, dtype int64, uint64 or float64."""

    def __init__(
        self, metric: ResolvedMetric, columns: Sequence[tuple[Field, Decoder]], allowance: Allowance | None = None
    ) -> None:
        """`columns` are, for each label in their order, the field of key or row and the decoder of the text.

        A metric without labels has its one series always, at 0 without entries. Entries of new keys beyond the
        `allowance` count in `other`: any user can make rows with new keys.
        """
        self._metric = metric
        self._fields = tuple(field for field, _ in columns)
        self._decoders = tuple(decode for _, decode in columns)
        self._most = max(LEAST_KEYS, 8 * metric.budget)
        self._keys = KeyCache(max(1, words_of(self._fields)), self._numbers_of, self._most, 0, allowance)
        self._numbers: dict[Labels, int] = {}
        self._labels: list[Labels] = [()] if not self._fields else []
        self._values: NDArray[Any] = np.zeros(len(self._labels), np.int64)

    def forget_keys(self) -> None:
        """Make all label text anew as keys come: a look-up that failed may succeed now."""
        self._keys.forget()
        self._numbers.clear()

    def _numbers_of(self, keys: NDArray[Any]) -> list[int]:
        """Return the number of each key's label set, from FIRST on."""
        return [
            DROPPED if labels is None else self._numbers.setdefault(labels, len(self._numbers) + FIRST)
            for labels in label_sets(keys, self._fields, self._decoders)
        ]

    def set(self, parts: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Take over a reading: of each map the keys, shape (n,), and the values, shape (n,), int64 or uint64.

        Of an iterator the rows have the fields of the keys.
        """
        records, columns = zip(*parts, strict=True)
        values = np.concatenate(columns)
        if not self._fields:
            self._values = values.sum(keepdims=True)
            return
        if len(self._numbers) > self._most:
            self.forget_keys()
        keys = np.concatenate([key_words(part, self._fields) for part in records], axis=1)
        numbers = self._keys.rows(keys)
        sums = np.zeros(len(self._numbers) + FIRST, values.dtype)
        np.add.at(sums, numbers, values)
        present = np.unique(numbers)
        self._show(present[present >= FIRST], present[present == OTHER], sums)

    def _show(self, present: NDArray[Any], unnamed: NDArray[Any], sums: NDArray[Any]) -> None:
        """Put label sets on the page: `present` are their numbers, ascending, `unnamed` that of others.

        `sums` is by number.
        """
        names = list(self._numbers)
        rows = self._metric.budget - 1
        shown = np.sort(present[self._order(present, sums, names)[:rows]])
        rest = np.concatenate([unnamed, np.setdiff1d(present, shown, assume_unique=True)])
        self._labels = [names[number - FIRST] for number in shown.tolist()]
        self._values = sums[shown]
        if len(rest):
            self._labels.append((OTHER_TEXT,) * len(self._fields))
            self._values = np.append(self._values, sums[rest].sum(keepdims=True))

    def _order(self, present: NDArray[Any], sums: NDArray[Any], names: Sequence[Labels]) -> NDArray[Any]:
        """Return the order in which label sets get a series: the largest first, of equal ones those on the page."""
        on_page = set(self._labels)
        is_on_page = np.array([names[number - FIRST] in on_page for number in present.tolist()], bool)
        weights = np.abs(sums[present].astype(np.float64)) * np.where(is_on_page, FACTOR, 1)
        order: NDArray[Any] = np.lexsort((~is_on_page, -weights))
        return order

    def family(self, scrape: Scrape = UNATTENDED) -> Family:
        """Return the last reading for a page; pages for scrapers (`scrape`) are like all others."""
        metric = self._metric
        return Family(
            name=metric.name,
            type=metric.type,
            help=metric.help,
            label_names=tuple(label.name for label in metric.labels),
            labels=tuple(self._labels),
            values=self._values if metric.factor == 1 else self._values * metric.factor,
        )

    def usage(self) -> SeriesUsage:
        """Return how much of the budget is used; values are no events, so none overflowed and none expired."""
        return SeriesUsage(self._metric.name, len(self._labels), self._metric.budget, 0)
