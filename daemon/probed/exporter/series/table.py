# SPDX-License-Identifier: Apache-2.0
"""The series of one metric: label text made once a key, numbers until the scrape, never more than the budget.

`probe` feeds it with batches of events or with the contents of kernel maps, and takes a `Family` for the page. Which
label sets have a row is decided in `budget`, keys find their row through `grouping`, numbers are kept in `values`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import key_words, words_of
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.decoders.fold import Decoder
from probed.exporter.exposition.family import Family
from probed.exporter.series.budget import FIRST, OTHER, Budget, Change
from probed.exporter.series.key_cache import Allowance, Grouping
from probed.exporter.series.label_sets import OTHER_TEXT, label_sets
from probed.exporter.series.scrapers import UNATTENDED, Scrape
from probed.exporter.series.shown_rows import ShownRows
from probed.exporter.series.values import Counts, Observations, Values
from probed.ipc.manifest import Field, ResolvedMetric

LEAST_KEYS = 1 << 12
"""So many keys are remembered, or eight times the budget if that is more."""


NUMBERS_BY_ROW = frozenset({"values", "buckets", "sums"})
"""Members of `Family` that have one row for each series."""

SERIES_BESIDE_BOUNDS = 3
"""Series of one label set of a histogram beside one for each bound: the bucket +Inf, `_sum` and `_count`."""


@dataclass(frozen=True, slots=True)
class SeriesUsage:
    """How much of its budget a metric uses: series on the page, and the events so far that went to `other`.

    `series` and `budget` count as Prometheus does: a label set of a histogram is several series.

    `expired` is how many events the series had that have left the page.
    """

    metric_name: str
    series: int
    budget: int
    overflowed: int
    expired: int = 0


class SeriesTable:
    """The rows of one metric, one for each label set, and one for all that have none.

    What is on the page and `expired` add up to all that was counted.
    """

    def __init__(
        self,
        metric: ResolvedMetric,
        columns: Sequence[tuple[Field, Decoder]],
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`columns` are, for each label in their order, the field that it comes from and what makes its text.

        At most `metric.budget` series are shown, `other` among them; one that is idle for more than
        `metric.idle_seconds` of `clock` leaves the page at the next scrape. A metric without labels has its one series
        always. What `ledger` has of an earlier exporter goes on.
        """
        self._metric = metric
        self._fields = fields = tuple(field for field, _ in columns)
        self._decoders = tuple(decode for _, decode in columns)
        words = max(1, words_of(fields))
        other, idle_seconds = (OTHER_TEXT,) * len(fields), metric.idle_seconds if fields else np.inf
        self._budget = Budget(ledger, metric.budget - 1 if fields else 1, other, idle_seconds, clock)
        if not fields and not len(self._budget):
            self._budget.take(())
        self._values = self._kept_values(ledger)
        self._expired = ledger.scalar()
        self._shown = ShownRows(ledger, self._budget.first_waiting)
        most_keys = max(LEAST_KEYS, 8 * metric.budget)
        self._grouping = Grouping(words, self._cells_of, most_keys, self._budget.first_waiting, Allowance(clock))

    def _kept_values(self, ledger: Ledger) -> Values:
        """Return the numbers; those of a row whose label set could not be kept join `other`."""
        rows, metric = self._budget.first_waiting, self._metric
        values: Values = Observations(ledger, rows, metric) if metric.type == "histogram" else Counts(ledger, rows)
        nobodys = [row for row in range(len(values)) if not self._budget.is_taken(row)]
        had = values.merge(np.array(nobodys, np.intp), OTHER) if nobodys else 0
        if had:
            self._budget.overflow(had)
        return values

    @property
    def expired(self) -> int:
        """How many events the series had that have left the page: they were idle, or gave their rows to others."""
        return self._expired.value

    def forget_keys(self) -> None:
        """Make the label text of every key anew when it comes next: a look-up that failed may succeed now."""
        self._grouping.forget()

    def _cells_of(self, keys: NDArray[Any]) -> list[int]:
        return self._budget.cells_of(label_sets(keys, self._fields, self._decoders))

    def add_events(self, events: NDArray[Any]) -> None:
        """Count a batch, shape (n,), dtype of the ring's records."""
        for name, value in self._metric.when.items():
            events = events[events[name] == value]
        if not len(events):
            return
        if self._fields:
            self._count(self._grouping.cells(key_words(events, self._fields)), events)
        else:
            self._count(np.full(len(events), FIRST, np.intp), events)

    def add_counts(self, parts: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Count what kernel maps have counted: of each the keys, shape (n,), and how often, shape (n,), dtype int64.

        It passes through the budget as events do, at once: who counted most in it is first to get a free row, and who
        is idle leaves.
        """
        records, times = zip(*parts, strict=True)
        by = np.concatenate(times)
        if not len(by):
            return
        if self._fields:
            keys = np.concatenate([key_words(part, self._fields) for part in records], axis=1)
            self._count(self._grouping.cells(keys), keys, by)
        else:
            self._count(np.full(len(by), FIRST, np.intp), by, by)

    def _count(self, cells: NDArray[Any], events: NDArray[Any], times: NDArray[Any] | None = None) -> None:
        """Count each event in its cell, shape (n,), so many `times`, shape (n,), dtype int64 (None: once)."""
        counted = _by_cell(cells, times)
        moves = self._budget.seat(counted)
        if moves is not None:
            self._grouping.move(moves)
            cells = moves[cells]
            counted = _by_cell(cells, times)
        first_waiting = self._budget.first_waiting
        rows = cells if len(counted) <= first_waiting else np.where(cells < first_waiting, cells, OTHER)
        by_row = self._budget.count(counted)
        self._values.add(by_row, rows, events)
        self._shown.count(by_row)
        moves = self._budget.cut()
        if moves is not None:
            self._grouping.move(moves)

    def family(self, scrape: Scrape = UNATTENDED) -> Family:
        """Return what the page shows now; later counting does not change it. Rows change hands here alone.

        A page for a scraper shows rows at 0 first.
        """
        self._keep_house(scrape)
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
        return numbers

    def _keep_house(self, scrape: Scrape) -> None:
        may_leave = self._shown.may_leave(scrape)
        self._follow(self._budget.expire(may_leave))
        self._follow(self._budget.elect())
        self._follow(self._budget.hand_over(may_leave))

    def _follow(self, change: Change | None) -> None:
        if change is None:
            return
        self._grouping.move(change.moves)
        if len(change.rows):
            self._expired.value += self._values.clear(change.rows)
            self._shown.clear(change.rows)

    def usage(self) -> SeriesUsage:
        """Return how much of the budget is used, as of the last `family`."""
        budget, metric = self._budget, self._metric
        each = len(metric.bounds) + SERIES_BESIDE_BOUNDS if metric.type == "histogram" else 1
        return SeriesUsage(metric.name, each * len(budget), each * metric.budget, budget.overflowed, self.expired)


def _by_cell(cells: NDArray[Any], times: NDArray[Any] | None) -> NDArray[Any]:
    """Return how often each cell occurs, by cell, as long as the highest one needs."""
    if times is None:
        return np.bincount(cells)
    counted = np.zeros(int(cells.max()) + 1, np.int64)
    np.add.at(counted, cells, times)
    return counted
