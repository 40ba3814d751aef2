# SPDX-License-Identifier: Apache-2.0
"""The series of one counter or histogram: label text made once a key, never more series than the budget.

`probe_tables` hands each table batches of events or increments of kernel maps, and takes a `Family` for the page.
`budget` decides which label sets have a row, `key_cache` finds the row of a key, `values` keeps the numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import key_words, words_of
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.decoders.fold import Decoder
from probed.exporter.exposition.family import Family
from probed.exporter.series.budget import FIRST, OTHER, Budget, Reassignment
from probed.exporter.series.key_cache import Allowance, KeyCache
from probed.exporter.series.label_sets import OTHER_TEXT, label_sets
from probed.exporter.series.scrapers import UNATTENDED, Scrape
from probed.exporter.series.shown_rows import ShownRows
from probed.exporter.series.start_times import StartTimes
from probed.exporter.series.values import BucketSums, Counts, Observations, Values, bucket_increments
from probed.exporter.series.weights import Weights
from probed.frozen import frozen
from probed.ipc.manifest import BUCKET_FIELD, Field, ResolvedMetric

LEAST_KEYS = 1 << 12
"""Most keys that a table remembers, or eight times the budget where more."""


NUMBERS_BY_ROW = frozenset({"values", "buckets", "sums"})
"""Members of `Family` with one row for each series."""

SERIES_BESIDE_BOUNDS = 3
"""Series of one label set of a histogram beside one for each bound: the bucket +Inf, `_sum` and `_count`."""


@frozen
class SeriesUsage:
    """How much of its budget a metric uses: series on the page, and events counted in `other`.

    `series` and `budget` count as Prometheus does: a label set of a histogram with bounds is several series, one of a
    histogram that is only native is one. `expired` are the
    events of series that have left the page.
    """

    metric_name: str
    series: int
    budget: int
    overflowed: int
    expired: int = 0


class SeriesTable:
    """The rows of one metric: one for each label set, and `other` for label sets without a row.

    The events on the page and `expired` add up to all counted events.
    """

    def __init__(
        self,
        metric: ResolvedMetric,
        columns: Sequence[tuple[Field, Decoder]],
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        since: Callable[[], float] = time.time,
    ) -> None:
        """`columns` are, for each label in their order, the field of the label and its decoder.

        At most `metric.budget` series are shown, `other` among them; a series idle for more than
        `metric.idle_seconds` of `clock` leaves the page at the next scrape. A metric without labels always has one
        series. The table goes on with the numbers of an earlier exporter in `ledger`. `since` gives a time before all
        events of the batch and after those of earlier batches, in seconds since the epoch.
        """
        self._metric = metric
        self._fields = fields = tuple(field for field, _ in columns)
        self._decoders = tuple(decode for _, decode in columns)
        words = max(1, words_of(fields))
        other, idle_seconds = (OTHER_TEXT,) * len(fields), metric.idle_seconds if fields else np.inf
        self._budget = Budget(ledger, metric.budget - 1 if fields else 1, other, idle_seconds, clock)
        if not fields and not len(self._budget):
            self._budget.take(())
        self._shown = ShownRows(ledger, self._budget.first_waiting)
        self._starts = StartTimes(ledger, self._budget.first_waiting, since)
        self._values = self._kept_values(ledger)
        self._expired = ledger.scalar()
        if not fields:
            self._starts.of(np.array([FIRST]))
        most_keys = max(LEAST_KEYS, 8 * metric.budget)
        self._allowance = Allowance(clock)
        self._keys = KeyCache(words, self._rows_of, most_keys, self._budget.first_waiting, self._allowance)

    def _kept_values(self, ledger: Ledger) -> Values:
        """Return the numbers; rows whose label set could not be kept join `other`."""
        rows, metric = self._budget.first_waiting, self._metric
        values: Values
        if metric.type == "histogram":
            values = BucketSums(ledger, rows, metric) if metric.maps else Observations(ledger, rows, metric)
        else:
            values = Counts(ledger, rows, metric.factor)
        unnamed = np.array([row for row in range(len(values)) if not self._budget.is_taken(row)], np.intp)
        if len(unnamed):
            had = values.merge(unnamed, OTHER)
            self._shown.clear(unnamed)
            self._starts.clear(unnamed)
            if had:
                self._budget.overflow(had)
        return values

    @property
    def expired(self) -> int:
        """Events of series that have left the page: idle, or replaced."""
        return self._expired.value

    def hurry_while(self, is_pressed: Callable[[], bool]) -> None:
        """Leave most new label sets to `other` while `is_pressed`: see `Allowance`."""
        self._allowance.is_pressed = is_pressed

    def forget_keys(self) -> None:
        """Make all label text anew as keys come: a look-up that failed may succeed now."""
        self._keys.forget()

    def _rows_of(self, keys: NDArray[Any]) -> list[int]:
        return self._budget.rows_of(label_sets(keys, self._fields, self._decoders))

    def add_events(self, events: NDArray[Any], weights: Weights | None = None) -> None:
        """Count a batch, shape (n,), with the members that the metric needs; without weights each event once."""
        for name, value in self._metric.when.items():
            chosen = events[name] == value
            # Of records, a mask as an index copies each member by itself: six times as slow.
            events, weights = events.compress(chosen), None if weights is None else weights.where(chosen)
        if not len(events):
            return
        if not self._fields:
            rows = np.full(len(events), FIRST, np.intp)
        elif weights is not None and weights.are_others:
            rows = np.full(len(events), OTHER, np.intp)
        else:
            rows = self._keys.rows(key_words(events, self._fields), None if weights is None else weights.times)
        self._count(rows, events, weights)

    def add_counts(self, parts: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Count the increments of kernel maps: of each the keys, shape (n,), and the increments, shape (n,), int64.

        For a histogram the increments are of sum and count, shape (n, 2). All maps pass the budget as one batch: the
        label sets with the largest increments are first to get a free row.
        """
        records, increments = zip(*parts, strict=True)
        by = np.concatenate(increments)
        if not len(by):
            return
        events, times = by, by
        if self._metric.type == "histogram":
            events, times = bucket_increments(np.concatenate([part[BUCKET_FIELD] for part in records]), by), by[:, 1]
        if self._fields:
            keys = np.concatenate([key_words(part, self._fields) for part in records], axis=1)
            self._count(self._keys.rows(keys, times), events, Weights(times))
        else:
            self._count(np.full(len(by), FIRST, np.intp), events, Weights(times))

    def _count(self, rows: NDArray[Any], events: NDArray[Any], weights: Weights | None) -> None:
        """Count each event in a row, `rows` shape (n,)."""
        times = None if weights is None else weights.times
        counted = _by_row(rows, times)
        moves = self._budget.assign_rows(counted)
        if moves is not None:
            self._keys.move(moves)
            rows = moves[rows]
            counted = _by_row(rows, times)
        first_waiting = self._budget.first_waiting
        rows = rows if len(counted) <= first_waiting else np.where(rows < first_waiting, rows, OTHER)
        by_row = self._budget.count(counted)
        self._values.add(by_row, rows, events, weights)
        self._shown.count(by_row)
        self._starts.count(by_row)
        moves = self._budget.evict()
        if moves is not None:
            self._keys.move(moves)

    def family(self, scrape: Scrape = UNATTENDED) -> Family:
        """Return the family for a page, which later counting does not change; rows change hands here alone.

        A page for a scraper shows rows at 0 first.
        """
        self._reassign_rows(scrape)
        rows, labels = self._budget.shown()
        metric = self._metric
        return Family(
            name=metric.name,
            type=metric.type,
            help=metric.help,
            label_names=tuple(label.name for label in metric.labels),
            labels=tuple(labels),
            **self._numbers(np.array(rows, np.intp), scrape),
        )

    def _numbers(self, rows: NDArray[Any], scrape: Scrape) -> dict[str, Any]:
        """Return the numbers of rows as the page shows them, as `Family` names them."""
        numbers = self._values.of(rows)
        held = self._shown.show(rows, scrape)
        for name in NUMBERS_BY_ROW & numbers.keys():
            numbers[name][held] = 0
        if numbers.get("native"):
            numbers["native"] = numbers["native"].without(held)
        return numbers | {"starts": self._starts.of(rows)}

    def _reassign_rows(self, scrape: Scrape) -> None:
        may_leave = partial(self._shown.may_leave, scrape=scrape)
        self._follow(self._budget.expire(may_leave))
        self._follow(self._budget.replace_rows())
        self._follow(self._budget.hand_over(may_leave))

    def _follow(self, reassignment: Reassignment | None) -> None:
        if reassignment is None:
            return
        self._keys.move(reassignment.moves)
        if len(reassignment.rows):
            self._expired.value += self._values.clear(reassignment.rows)
            self._shown.clear(reassignment.rows)
            self._starts.clear(reassignment.rows)

    def usage(self) -> SeriesUsage:
        """Return the usage of the budget as of the last `family`."""
        budget, metric = self._budget, self._metric
        each = len(metric.bounds) + SERIES_BESIDE_BOUNDS if metric.bounds else 1
        return SeriesUsage(metric.name, each * len(budget), each * metric.budget, budget.overflowed, self.expired)


def _by_row(rows: NDArray[Any], times: NDArray[Any] | None) -> NDArray[Any]:
    """Return how often each row occurs, by row, up to the highest row."""
    if times is None:
        return np.bincount(rows)
    counted = np.zeros(int(rows.max()) + 1, np.int64)
    np.add.at(counted, rows, times)
    return counted
