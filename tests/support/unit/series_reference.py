# SPDX-License-Identifier: Apache-2.0
"""Applies the rules of `exporter.series.budget` event by event without numpy: an oracle for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

Labels = tuple[str, ...]


@dataclass
class Row:
    """One label set's row: its place in the table, its observations and its activity."""

    number: int
    seen: float
    activity: int = 0
    window: int = 0
    is_shown: bool = False
    observed: list[int] = field(default_factory=list)


class Reference:
    """Let `waiting` label sets wait; rows change hands after `window` seconds, for `factor` times the activity."""

    def __init__(
        self, clock: Callable[[], float], *, rows: int, waiting: int, idle: float, window: float, factor: int
    ) -> None:
        self._limits = (rows, waiting)
        self._times = (idle, window)
        self._factor = factor
        self._clock = clock
        self._window_began = clock()
        self.rows: dict[Labels, Row] = {}
        self.leaving: list[tuple[Labels, Row, Labels, int]] = []
        """Loser, its row, the winner and the winner's count."""
        self.waiting: dict[Labels, int] = {}
        self.other: list[int] = []
        self.overflowed = 0
        self.expired = 0

    def add(self, batch: list[tuple[Labels | None, int]]) -> None:
        kept = [(labels, value) for labels, value in batch if labels is not None]
        came = Counter(labels for labels, _ in kept)
        for labels in came:
            if labels not in self.rows:
                self.waiting.setdefault(labels, 0)
        self._seat(came)
        for labels, value in kept:
            self._observe(labels, value)
        self._cut()

    def _seat(self, came: Counter[Labels]) -> None:
        room = self._limits[0] - len(self.rows) - len(self.leaving)
        losers = [loser for loser, *_ in self.leaving]
        may = [each for each in self.waiting if came[each] and each not in losers]
        for labels in sorted(may, key=lambda each: -came[each])[:room]:
            taken = {row.number for row in [*self.rows.values(), *(row for _, row, *_ in self.leaving)]}
            number = next(number for number in range(self._limits[0]) if number not in taken)
            del self.waiting[labels]
            self.rows[labels] = Row(number, self._clock())

    def _observe(self, labels: Labels, value: int) -> None:
        row = self.rows.get(labels)
        if row is None:
            self.other.append(value)
            self.overflowed += 1
            self.waiting[labels] += 1
        else:
            row.observed.append(value)
            row.is_shown = False
            row.window += 1
            row.seen = self._clock()

    def _cut(self) -> None:
        limit = self._limits[1]
        if len(self.waiting) > limit:
            less = sorted(self.waiting.values(), reverse=True)[limit // 2]
            self.waiting = {labels: count - less for labels, count in self.waiting.items() if count > less}

    def scrape(self) -> dict[Labels, list[int]]:
        idle, window = self._times
        for labels, row in list(self.rows.items()):
            if row.is_shown and self._clock() - row.seen > idle:
                self.expired += len(row.observed)
                del self.rows[labels]
        if self._clock() - self._window_began >= window:
            self._end_window()
        self._hand_over()
        page = {labels: row.observed for labels, row in self.rows.items()}
        page |= {labels: row.observed for labels, row, *_ in self.leaving}
        for row in [*self.rows.values(), *(row for _, row, *_ in self.leaving)]:
            row.is_shown = True
        if self.overflowed:
            page["other",] = self.other
        return page

    def _end_window(self) -> None:
        self._window_began = self._clock()
        for row in self.rows.values():
            row.activity, row.window = max(row.window, row.activity // 2), 0
        if len(self.rows) + len(self.leaving) == self._limits[0]:
            self._elect()
        self.waiting = dict.fromkeys(self.waiting, 0)

    def _elect(self) -> None:
        losers = sorted(self.rows, key=lambda labels: (max(self.rows[labels].activity, 1), self.rows[labels].number))
        engaged = {labels for loser, _, winner, _ in self.leaving for labels in (loser, winner)}
        winners = sorted(self.waiting.keys() - engaged, key=list(self.waiting).index)
        winners.sort(key=lambda labels: -self.waiting[labels])
        for winner, loser in list(zip(winners, losers, strict=False)):
            if self.waiting[winner] <= self._factor * max(self.rows[loser].activity, 1):
                break
            self.leaving.append((loser, self.rows.pop(loser), winner, self.waiting[winner]))

    def _hand_over(self) -> None:
        for each in [each for each in self.leaving if each[1].is_shown]:
            _, row, winner, count = each
            self.leaving.remove(each)
            self.expired += len(row.observed)
            if winner not in self.rows:
                self.waiting.pop(winner, None)
                self.rows[winner] = Row(row.number, self._clock(), activity=count)
