# SPDX-License-Identifier: Apache-2.0
"""Which label sets have a row of their own, so that a metric never shows more series than its budget.

`series` owns one for each metric. It knows label sets and how often each came; the numbers are `values`.

Every label set has a cell. Cells below `first_waiting` are rows: 0 for what a rule drops, 1 for `other`, the rest for
one label set each; one of the budget's series is kept for `other`. Cells from there on are places of label sets that
wait (`heavy`): their events count into `other`.

- A label set that waits and comes takes a free row; when these are short, those that came most in the batch do.
- Once a window, at a scrape, while no row is free: the label sets that wait, heaviest first, are held against the rows,
  least active first. One takes a row when its guaranteed count in the window exceeds `FACTOR` times the row's activity:
  its events in this window, or half the activity before where that is more, but at least 1. So what came less than
  three times takes nothing from anybody, a storm of unique names least of all; and who has just lost a row needs
  more than twice the winner's rate to have it back.
- What the loser had counted joins `other`; the winner begins at 0, for what it had counted stays in `other`. So the sum
  over all series is exact at any time, and no series on two pages in a row ever falls.
- At a scrape, rows idle for longer than their time are freed, and what they had counted is gone from the page, as a
  restarted process's is. `other` is never idle.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray, grown
from probed.exporter.series.heavy_hitters import Waiting
from probed.exporter.series.label_sets import Labels
from probed.exporter.series.label_store import Texts

DROPPED, OTHER, FIRST = range(3)
"""The rows that are no label set's, and the first that is."""

WINDOW_SECONDS = 60.0
"""Rows change hands once in this time at most."""

FACTOR = 2
"""So many times a row's activity must a label set have to take it."""

LEAST_WAITING = 512
"""So many label sets may wait, or four times as many as there are rows if that is more."""


class Change(NamedTuple):
    """Rows that lost their label set, and where every cell has moved: by old cell, -1 for gone, and -1 at the end."""

    rows: NDArray[Any]
    moves: NDArray[Any]


class Budget:
    """The rows of one metric: at most `rows` beside `other`, whose label set is `other`.

    `idle_seconds` is how long a row may be idle, by `clock`, in seconds.
    """

    def __init__(
        self, ledger: Ledger, rows: int, other: Labels, idle_seconds: float, clock: Callable[[], float]
    ) -> None:
        """Rows that an earlier exporter gave away stay given; what waited does so anew."""
        self.first_waiting = FIRST + rows
        self._overflowed = ledger.scalar()
        self._texts = Texts(ledger, self.first_waiting)
        self._other = other
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._window_began = clock()
        self._waiting = Waiting(max(LEAST_WAITING, 4 * rows))
        self._row_of = {labels: row for row, labels in self._texts if row >= FIRST}
        self._labels: list[Labels | None] = [None] * (max(self._row_of.values(), default=FIRST - 1) + 1)
        for labels, row in self._row_of.items():
            self._labels[row] = labels
        if self.overflowed:
            self._labels[OTHER] = other
        self._free = [row for row in range(FIRST, len(self._labels)) if self._labels[row] is None]
        self._seen = np.full(len(self._labels), clock())
        self._seen[self._free] = np.inf
        self._window = np.zeros(len(self._labels), np.int64)
        self._activity = np.zeros(len(self._labels), np.int64)

    @property
    def overflowed(self) -> int:
        """How many events went to `other`."""
        return self._overflowed.value

    def cells_of(self, label_sets: Iterable[Labels | None]) -> list[int]:
        """Return the cell of each label set, or of what is dropped; a new one waits."""
        return list(map(self._cell_of, label_sets))

    def _cell_of(self, labels: Labels | None) -> int:
        if labels is None:
            return DROPPED
        row = self._row_of.get(labels)
        return self.first_waiting + self._waiting.place(labels) if row is None else row

    def shown(self) -> tuple[list[int], list[Labels]]:
        """Return the rows that are on the page, and their label sets."""
        taken = [(row, labels) for row, labels in enumerate(self._labels) if labels is not None]
        return [row for row, _ in taken], [labels for _, labels in taken]

    def is_taken(self, row: int) -> bool:
        """Say whether a row is some label set's, or counts what is dropped, or is `other`."""
        return row < FIRST or (row < len(self._labels) and self._labels[row] is not None)

    def overflow(self, times: int) -> None:
        """Note that `other` takes over so many events of a row that nobody has."""
        self._labels[OTHER] = self._other
        self._overflowed.value += times

    def __len__(self) -> int:
        """Return how many series are on the page."""
        return len(self._row_of) + (self._labels[OTHER] is not None)

    def take(self, labels: Labels) -> int:
        """Give a free row to a label set that does not wait, and return it."""
        row = heapq.heappop(self._free) if self._free else len(self._labels)
        if row == len(self._labels):
            self._labels.append(None)
            self._seen, self._window, self._activity = (
                grown(array, row + 1) for array in (self._seen, self._window, self._activity)
            )
        self._settle(labels, row, 0)
        return row

    def _settle(self, labels: Labels, row: int, activity: int) -> None:
        self._labels[row] = labels
        self._row_of[labels] = row
        self._texts.set(row, labels)
        self._seen[row] = self._clock()
        self._window[row] = 0
        self._activity[row] = activity

    def seat(self, counted: NDArray[Any]) -> NDArray[Any] | None:
        """Give free rows to label sets that wait: `counted` by cell, shape (cells,), what a batch holds of each.

        Returns where every cell has moved (as `Change.moves`), None when none has.
        """
        room = self.first_waiting - FIRST - len(self._row_of)
        came = counted[self.first_waiting :]
        if not room or not len(came):
            return None
        places = np.argsort(-came, kind="stable")[:room]
        places = places[came[places] > 0]
        labels = self._waiting.labels
        rows = [self.take(labels[place]) for place in places.tolist()]
        return self._moves(places, np.array(rows, np.intp))

    def _moves(self, places: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        """Take label sets away from where they wait, into rows, and return how that moves every cell."""
        kept = np.ones(len(self._waiting), bool)
        kept[places] = False
        moves = self._kept(kept)
        moves[self.first_waiting + places] = rows
        return moves

    def _kept(self, kept: NDArray[Any]) -> NDArray[Any]:
        places = self._waiting.keep(kept)
        places[places >= 0] += self.first_waiting
        return np.concatenate((np.arange(self.first_waiting), places, [-1]))

    def count(self, counted: NDArray[Any]) -> NDArray[Any]:
        """Count a batch by cell, shape (cells,), and return it by row: those that wait are in `other`."""
        rows, waiting = counted[: self.first_waiting], counted[self.first_waiting :]
        if len(waiting):
            self._labels[OTHER] = self._other
            self._waiting.add(waiting)
            rows[OTHER] = waiting.sum()
            self._overflowed.value += int(rows[OTHER])
        rows = rows[: len(self._labels)]
        self._window[: len(rows)] += rows
        self._seen[: len(rows)][rows > 0] = self._clock()
        return rows

    def cut(self) -> NDArray[Any] | None:
        """Forget the lightest that wait when they are too many; return how that moves every cell (None: not at all)."""
        kept = self._waiting.cut()
        return None if kept is None else self._kept(kept)

    def expire(self) -> Change | None:
        """Free the rows that have been idle for too long; None when there is none."""
        idle = self._clock() - self._seen[FIRST : len(self._labels)] > self._idle_seconds
        rows = FIRST + idle.nonzero()[0]
        if not len(rows):
            return None
        self._leave(rows)
        for row in rows.tolist():
            heapq.heappush(self._free, row)
        self._seen[rows] = np.inf
        moves = self._kept(np.ones(len(self._waiting), bool))
        moves[rows] = -1
        return Change(rows, moves)

    def _leave(self, rows: NDArray[Any]) -> None:
        for row in rows.tolist():
            labels = self._labels[row]
            assert labels is not None
            del self._row_of[labels]
            self._labels[row] = None
            self._texts.drop(row)

    def elect(self) -> Change | None:
        """End the window if it is over, and let the heaviest that wait take rows; None when none does."""
        if self._clock() - self._window_began < WINDOW_SECONDS:
            return None
        self._window_began = self._clock()
        self._activity = np.maximum(self._window, self._activity // 2)
        change = None if len(self._row_of) < self.first_waiting - FIRST else self._replace(*self._winners())
        self._window[:] = 0
        self._waiting.begin()
        return change

    def _winners(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the places that win a row each, and these rows. All rows are taken."""
        activity = np.maximum(self._activity[FIRST : self.first_waiting], 1)
        rows = np.argsort(activity, kind="stable")
        places = np.argsort(-self._waiting.counts, kind="stable")
        pairs = min(len(rows), len(places))
        wins = self._waiting.counts[places[:pairs]] > FACTOR * activity[rows[:pairs]]
        return places[:pairs][wins], FIRST + rows[:pairs][wins]

    def _replace(self, places: NDArray[Any], rows: NDArray[Any]) -> Change | None:
        if not len(rows):
            return None
        self._leave(rows)
        labels, counts = self._waiting.labels, self._waiting.counts
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            self._settle(labels[place], row, int(counts[place]))
        moves = self._moves(places, rows)
        moves[rows] = -1
        return Change(rows, moves)
