# SPDX-License-Identifier: Apache-2.0
"""Decides which label sets have a row of their own, so a metric never shows more series than its budget.

Each metric's `SeriesTable` owns one `Budget`. The budget knows label sets and how often each came; `values` has the
numbers.

Every label set has a row. Rows below `first_waiting` hold numbers: 0 for events dropped by a rule, 1 for `other`, the
rest for one label set each; `other` takes one of the budget's series. Rows from `first_waiting` on belong to waiting
label sets (`heavy_hitters`): the table counts their events in `other`.

- A waiting label set that comes takes a free row; when free rows are short, the most frequent of the batch take them.
- Once a window, at a scrape, while no row is free, the budget compares the waiting label sets, heaviest first, with the
  rows, least active first. A label set takes a row when its guaranteed count in the window exceeds `FACTOR` times the
  row's activity: the row's events in this window, or half the activity before where more, but at least 1. So a label
  set that came less than three times takes no row, and a storm of unique names takes none. A label set that has just
  lost its row needs more than twice the winner's rate to take the row back.
- A loser leaves in two steps. From the replacement on, its events count in `other`; its row stays on the page until
  every active scraper has been shown the last value (`ShownRows`). Then the counts leave the page, as a restarted
  process's do, and the winner begins at 0: its earlier events stay in `other`.
- At a scrape, rows idle for longer than `idle_seconds` become free, also only after their last value has been shown.
  `other` is never idle.
- The events on the page and the events that left the page add up to all events; no count moves between series.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from probed.exporter.arrays.ledger import Ledger, require
from probed.exporter.arrays.ndarray import NDArray, grown
from probed.exporter.series.heavy_hitters import HeavyHitters
from probed.exporter.series.label_sets import Labels
from probed.exporter.series.label_store import LabelStore

DROPPED, OTHER, FIRST = range(3)
"""The two rows without a label set of their own, and the first row of a label set."""

WINDOW_SECONDS = 60.0
"""The shortest time between two replacements of rows."""

FACTOR = 2
"""A label set takes a row with so many times the row's activity."""

LEAST_WAITING = 512
"""Most label sets that wait, or four times the number of rows where more."""


class Leaving(NamedTuple):
    """A label set that loses its row, the winner of the row, and the winner's guaranteed count."""

    loser: Labels
    winner: Labels
    guaranteed: int


class Reassignment(NamedTuple):
    """Rows to clear, and `moves`: the new row by the old row, -1 when removed, and -1 at the end."""

    rows: NDArray[Any]
    moves: NDArray[Any]


class Budget:
    """The rows of one metric: at most `rows` beside the one with the label set `other`.

    A row may be idle for `idle_seconds` of `clock`, in seconds.
    """

    def __init__(
        self, ledger: Ledger, rows: int, other: Labels, idle_seconds: float, clock: Callable[[], float]
    ) -> None:
        """Take over the rows of an earlier exporter; its waiting label sets begin anew. Raises SpoiledState."""
        self.first_waiting = FIRST + rows
        self._overflowed = ledger.scalar()
        self._store = LabelStore(ledger, self.first_waiting)
        self._other = other
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._window_began = clock()
        self._waiting = HeavyHitters(max(LEAST_WAITING, 4 * rows))
        self._row_of = self._taken_over(other)
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

    def _taken_over(self, other: Labels) -> dict[Labels, int]:
        """Return the rows of an earlier exporter by label set: one row a label set, none that equals `other`'s."""
        stored = [(labels, row) for row, labels in self._store]
        row_of = dict(stored)
        require(len(row_of) == len(stored), "two rows have one label set")
        require(all(len(labels) == len(other) for labels in row_of), "a label set has another number of labels")
        require(not other or other not in row_of, "a row has the label set of the overflow")
        require(all(row >= FIRST for row in row_of.values()), "a row without a label set of its own has one")
        return row_of

    @property
    def overflowed(self) -> int:
        """Events counted in `other` so far."""
        return self._overflowed.value

    def rows_of(self, label_sets: Iterable[Labels | None]) -> list[int]:
        """Return the row of each label set (None: dropped events); a new label set waits."""
        return list(map(self._row, label_sets))

    def _row(self, labels: Labels | None) -> int:
        if labels is None:
            return DROPPED
        row = self._row_of.get(labels)
        return self.first_waiting + self._waiting.row(labels) if row is None else row

    def shown(self) -> tuple[list[int], list[Labels]]:
        """Return the rows on the page, and their label sets."""
        taken = [(row, labels) for row, labels in enumerate(self._labels) if labels is not None]
        return [row for row, _ in taken], [labels for _, labels in taken]

    def is_taken(self, row: int) -> bool:
        """Say whether a row belongs to a label set, to dropped events or to `other`."""
        return row < FIRST or (row < len(self._labels) and self._labels[row] is not None)

    def overflow(self, times: int) -> None:
        """Note that `other` takes over so many events of a row without a label set."""
        self._labels[OTHER] = self._other
        self._overflowed.value += times

    def __len__(self) -> int:
        """Return the number of series on the page."""
        return self._taken + (self._labels[OTHER] is not None)

    @property
    def _taken(self) -> int:
        return len(self._row_of) + len(self._leaving)

    def take(self, labels: Labels) -> int:
        """Give a free row to a label set that does not wait; return the row."""
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
        self._store.set(row, labels)
        self._seen[row] = self._clock()
        self._window[row] = 0
        self._activity[row] = activity

    def assign_rows(self, counted: NDArray[Any]) -> NDArray[Any] | None:
        """Give free rows to waiting label sets: `counted` by row, shape (rows,), is how often each is in a batch.

        Returns the new row of every label set (as `Reassignment.moves`), None when none moves.
        """
        room = self.first_waiting - FIRST - self._taken
        came = counted[self.first_waiting :]
        if not room or not len(came):
            return None
        came = self._without(came, [each.loser for each in self._leaving.values()])
        chosen = np.argsort(-came, kind="stable")[:room]
        chosen = chosen[came[chosen] > 0]
        labels = self._waiting.labels
        rows = [self.take(labels[row]) for row in chosen.tolist()]
        return self._moves(chosen, np.array(rows, np.intp))

    def _without(self, counts: NDArray[Any], label_sets: Iterable[Labels]) -> NDArray[Any]:
        """Return the counts of waiting label sets, with 0 for some of them: these get no row now."""
        found = [row for row in map(self._waiting.find, label_sets) if row is not None and row < len(counts)]
        counts = counts.copy()
        counts[found] = 0
        return counts

    def _moves(self, waiting: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        """Move label sets from their waiting rows to others; return the new row of every label set."""
        kept = np.ones(len(self._waiting), bool)
        kept[waiting] = False
        moves = self._kept(kept)
        moves[self.first_waiting + waiting] = rows
        return moves

    def _kept(self, kept: NDArray[Any]) -> NDArray[Any]:
        waiting = self._waiting.keep(kept)
        waiting[waiting >= 0] += self.first_waiting
        return np.concatenate((np.arange(self.first_waiting), waiting, [-1]))

    def count(self, counted: NDArray[Any]) -> NDArray[Any]:
        """Count a batch by row, shape (rows,); return it with the waiting label sets added up in `other`."""
        rows, waiting = counted[: self.first_waiting], counted[self.first_waiting :]
        if len(waiting) or rows[OTHER:FIRST].any():
            self._labels[OTHER] = self._other
            self._waiting.add(waiting)
            rows[OTHER] += waiting.sum()
            self._overflowed.value += int(rows[OTHER])
        rows = rows[: len(self._labels)]
        self._window[: len(rows)] += rows
        self._seen[: len(rows)][rows > 0] = self._clock()
        return rows

    def evict(self) -> NDArray[Any] | None:
        """Forget the lightest waiting label sets when there are too many; return the moves, None when none moves."""
        kept = self._waiting.evict()
        return None if kept is None else self._kept(kept)

    def expire(self, may_leave: Callable[[NDArray[Any]], NDArray[Any]]) -> Reassignment | None:
        """Free the rows that have been idle for too long; return None without such rows.

        `may_leave` says of rows, shape (n,), whether the last value of each has been shown, shape (n,), dtype bool.
        """
        idle = self._clock() - self._seen[FIRST : len(self._labels)] > self._idle_seconds
        rows = FIRST + idle.nonzero()[0]
        if not len(rows):
            return None
        rows = rows[may_leave(rows)]
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
        self._store.drop(row)
        self._seen[row] = np.inf
        heapq.heappush(self._free, row)

    def replace_rows(self) -> Reassignment | None:
        """End the window if it is over, and choose rows for the heaviest waiting label sets (None: no rows).

        The chosen rows stay as they are until `hand_over`, so the result has no rows to clear.
        """
        if self._clock() - self._window_began < WINDOW_SECONDS:
            return None
        self._window_began = self._clock()
        self._activity = np.maximum(self._window, self._activity // 2)
        change = None if self._taken < self.first_waiting - FIRST else self._choose(*self._winners())
        self._window[:] = 0
        self._waiting.begin_window()
        return change

    def _winners(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the waiting rows that win, and the row that each of them wins. All rows are taken."""
        activity = np.maximum(self._activity[: self.first_waiting], 1)
        staying = np.ones(self.first_waiting, bool)
        staying[[DROPPED, OTHER, *self._leaving]] = False
        rows = staying.nonzero()[0]
        rows = rows[np.argsort(activity[rows], kind="stable")]
        engaged = [labels for each in self._leaving.values() for labels in (each.loser, each.winner)]
        counts = self._without(self._waiting.counts, engaged)
        waiting = np.argsort(-counts, kind="stable")
        pairs = min(len(rows), len(waiting))
        wins = counts[waiting[:pairs]] > FACTOR * activity[rows[:pairs]]
        return waiting[:pairs][wins], rows[:pairs][wins]

    def _choose(self, waiting: NDArray[Any], rows: NDArray[Any]) -> Reassignment | None:
        if not len(rows):
            return None
        labels, counts = self._waiting.labels, self._waiting.counts
        for winner, row in zip(waiting.tolist(), rows.tolist(), strict=True):
            loser = self._labels[row]
            assert loser is not None
            del self._row_of[loser]
            self._leaving[row] = Leaving(loser, labels[winner], int(counts[winner]))
        moves = self._kept(np.ones(len(self._waiting), bool))
        moves[rows] = -1
        return Reassignment(np.zeros(0, np.intp), moves)

    def hand_over(self, may_leave: Callable[[NDArray[Any]], NDArray[Any]]) -> Reassignment | None:
        """Give rows to their winners once the last value has been shown (`may_leave`, as for `expire`)."""
        if not self._leaving:
            return None
        leaving = np.array(list(self._leaving), np.intp)
        rows = leaving[may_leave(leaving)].tolist()
        if not rows:
            return None
        won = list(map(self._give, rows))
        kept = np.ones(len(self._waiting), bool)
        pairs = [(waiting, row) for waiting, row in zip(won, rows, strict=True) if waiting is not None]
        kept[[waiting for waiting, _ in pairs]] = False
        moves = self._kept(kept)
        for waiting, row in pairs:
            moves[self.first_waiting + waiting] = row
        return Reassignment(np.array(rows, np.intp), moves)

    def _give(self, row: int) -> int | None:
        """Give a leaving row to its winner; return the winner's waiting row, None when the winner no longer waits."""
        _, winner, guaranteed = self._leaving.pop(row)
        if winner in self._row_of:  # a row became free meanwhile
            self._vacate(row)
            return None
        self._settle(winner, row, guaranteed)
        return self._waiting.find(winner)
