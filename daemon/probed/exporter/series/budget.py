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
- A loser leaves in two steps. From the election on its events count into `other`; its row stays on the page until every
  active scraper has been shown its last value (`ShownRows`). Then its counts leave the page, as a restarted process's
  do, and the winner begins at 0: what it had counted until then stays in `other`.
- At a scrape, rows that are idle for longer than their time are freed, also only after their last value has been shown.
  `other` is never idle.
- What is on the page and what has left it add up to all events; nothing moves from one series to another.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray, grown
from probed.exporter.series.heavy_hitters import HeavyHitters
from probed.exporter.series.label_sets import Labels
from probed.exporter.series.label_store import LabelStore

DROPPED, OTHER, FIRST = range(3)
"""The rows that are no label set's, and the first that is."""

WINDOW_SECONDS = 60.0
"""Rows change hands once in this time at most."""

FACTOR = 2
"""So many times a row's activity must a label set have to take it."""

LEAST_WAITING = 512
"""So many label sets may wait, or four times as many as there are rows if that is more."""


class Leaving(NamedTuple):
    """A label set whose row is given to a winner, and the winner's guaranteed count."""

    loser: Labels
    winner: Labels
    guaranteed: int


class Reassignment(NamedTuple):
    """Rows that are cleared, and where every cell has moved: by old cell, -1 for gone, and -1 at the end."""

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
        self._texts = LabelStore(ledger, self.first_waiting)
        self._other = other
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._window_began = clock()
        self._waiting = HeavyHitters(max(LEAST_WAITING, 4 * rows))
        self._row_of = {labels: row for row, labels in self._texts if row >= FIRST}
        self._labels: list[Labels | None] = [None] * (max(self._row_of.values(), default=FIRST - 1) + 1)
        for labels, row in self._row_of.items():
            self._labels[row] = labels
        if self.overflowed:
            self._labels[OTHER] = other
        self._leaving: dict[int, Leaving] = {}
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
        return self._taken + (self._labels[OTHER] is not None)

    @property
    def _taken(self) -> int:
        return len(self._row_of) + len(self._leaving)

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

        Returns where every cell has moved (as `Reassignment.moves`), None when none has.
        """
        room = self.first_waiting - FIRST - self._taken
        came = counted[self.first_waiting :]
        if not room or not len(came):
            return None
        came = self._without(came, [each.loser for each in self._leaving.values()])
        places = np.argsort(-came, kind="stable")[:room]
        places = places[came[places] > 0]
        labels = self._waiting.labels
        rows = [self.take(labels[place]) for place in places.tolist()]
        return self._moves(places, np.array(rows, np.intp))

    def _without(self, counts: NDArray[Any], label_sets: Iterable[Labels]) -> NDArray[Any]:
        """Return the counts by place, those of some label sets as 0: these get no row now."""
        places = [place for place in map(self._waiting.find, label_sets) if place is not None and place < len(counts)]
        counts = counts.copy()
        counts[places] = 0
        return counts

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

    def expire(self, may_leave: NDArray[Any]) -> Reassignment | None:
        """Free the rows that have been idle for too long; None when there is none.

        `may_leave` says of each row whether its last value has been shown, shape (rows,), dtype bool.
        """
        idle = self._clock() - self._seen[FIRST : len(self._labels)] > self._idle_seconds
        rows = FIRST + (idle & may_leave[FIRST : len(self._labels)]).nonzero()[0]
        rows = np.array([row for row in rows.tolist() if row not in self._leaving], np.intp)
        if not len(rows):
            return None
        for row in rows.tolist():
            labels = self._labels[row]
            assert labels is not None
            del self._row_of[labels]
            self._vacate(row)
        moves = self._kept(np.ones(len(self._waiting), bool))
        moves[rows] = -1
        return Reassignment(rows, moves)

    def _vacate(self, row: int) -> None:
        self._labels[row] = None
        self._texts.drop(row)
        self._seen[row] = np.inf
        heapq.heappush(self._free, row)

    def elect(self) -> Reassignment | None:
        """End the window if it is over, and choose rows for the heaviest that wait; None when none gets one.

        The rows of the change stay as they are until `hand_over`, so it has no rows that are cleared.
        """
        if self._clock() - self._window_began < WINDOW_SECONDS:
            return None
        self._window_began = self._clock()
        self._activity = np.maximum(self._window, self._activity // 2)
        change = None if self._taken < self.first_waiting - FIRST else self._choose(*self._winners())
        self._window[:] = 0
        self._waiting.begin()
        return change

    def _winners(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the places that win a row each, and these rows. All rows are taken."""
        activity = np.maximum(self._activity[: self.first_waiting], 1)
        staying = np.ones(self.first_waiting, bool)
        staying[[DROPPED, OTHER, *self._leaving]] = False
        rows = staying.nonzero()[0]
        rows = rows[np.argsort(activity[rows], kind="stable")]
        engaged = [labels for each in self._leaving.values() for labels in (each.loser, each.winner)]
        counts = self._without(self._waiting.counts, engaged)
        places = np.argsort(-counts, kind="stable")
        pairs = min(len(rows), len(places))
        wins = counts[places[:pairs]] > FACTOR * activity[rows[:pairs]]
        return places[:pairs][wins], rows[:pairs][wins]

    def _choose(self, places: NDArray[Any], rows: NDArray[Any]) -> Reassignment | None:
        if not len(rows):
            return None
        labels, counts = self._waiting.labels, self._waiting.counts
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            loser = self._labels[row]
            assert loser is not None
            del self._row_of[loser]
            self._leaving[row] = Leaving(loser, labels[place], int(counts[place]))
        moves = self._kept(np.ones(len(self._waiting), bool))
        moves[rows] = -1
        return Reassignment(np.zeros(0, np.intp), moves)

    def hand_over(self, may_leave: NDArray[Any]) -> Reassignment | None:
        """Give the rows whose last value has been shown (`may_leave`, as for `expire`) to their winners."""
        rows = [row for row in self._leaving if may_leave[row]]
        if not rows:
            return None
        won = list(map(self._give, rows))
        kept = np.ones(len(self._waiting), bool)
        there = [(place, row) for place, row in zip(won, rows, strict=True) if place is not None]
        kept[[place for place, _ in there]] = False
        moves = self._kept(kept)
        for place, row in there:
            moves[self.first_waiting + place] = row
        return Reassignment(np.array(rows, np.intp), moves)

    def _give(self, row: int) -> int | None:
        """Give a leaving row to its winner; return where that one waits, None when it no longer does."""
        _, winner, guaranteed = self._leaving.pop(row)
        if winner in self._row_of:  # a row became free meanwhile
            self._vacate(row)
            return None
        self._settle(winner, row, guaranteed)
        return self._waiting.find(winner)
