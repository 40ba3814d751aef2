# SPDX-License-Identifier: Apache-2.0
"""From the keys of a batch to rows of a series table, without a Python step an event.

`table` owns one for each metric. The cache remembers the row of each key, so label text is made once a key, and
follows rows that move. `budget` decides which row a label set has.

Label text takes microseconds a key, and any local user can make new keys: a process that renames itself before each
system call makes one an event. So the cache resolves only so many new keys (`Allowance`). Beyond that, the keys with
the most events in the batch are resolved, and the others count into the row `other` by their numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.key_index import KeyIndex, distinct
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.series.budget import OTHER

BURST_KEYS = 1 << 13
"""New keys that are resolved at once: thousands of control groups begin while no page is asked for."""

KEYS_A_SECOND = 20_000
"""New keys that are resolved a second in the long run: a tenth of a CPU."""

LEAST_KEYS_A_BATCH = 1 << 6
"""New keys that every batch may resolve, the heaviest first: a key with a share of the events always gets its row."""

KEYS_AT_ONCE = 1 << 7
"""New keys between two looks at what waits: about a millisecond."""


class Allowance:
    """A token bucket of new keys, by `clock` in seconds.

    While so many events wait that the next ones are about to be lost, or to lose their labels, as `is_pressed` tells,
    each batch may resolve LEAST_KEYS_A_BATCH.
    """

    def __init__(self, clock: Callable[[], float], is_pressed: Callable[[], bool] = lambda: False) -> None:
        """Begin with a full bucket."""
        self.is_pressed = is_pressed
        self._clock = clock
        self._tokens = float(BURST_KEYS)
        self._filled_at = clock()

    def available(self) -> int:
        """Return how many new keys a batch may resolve, LEAST_KEYS_A_BATCH or more."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled_at) * KEYS_A_SECOND, BURST_KEYS)
        self._filled_at = now
        return LEAST_KEYS_A_BATCH if self.is_pressed() else max(int(self._tokens), LEAST_KEYS_A_BATCH)

    def use(self, keys: int) -> None:
        """Take tokens for keys that a batch resolved."""
        self._tokens = max(self._tokens - keys, 0.0)


class KeyCache:
    """Rows by key of `words` 64-bit words, at least one; `rows_of` finds the rows of new keys.

    `rows_of` takes distinct keys, shape (words, n), and returns a row, 0 or more, for each. The cache remembers at most
    `most` keys; past this, keys of waiting label sets (rows from `first_waiting` on) are forgotten, others stay. New
    keys without an allowance get the row `OTHER` of `budget`.
    """

    def __init__(
        self,
        words: int,
        rows_of: Callable[[NDArray[Any]], Sequence[int]],
        most: int,
        first_waiting: int,
        allowance: Allowance | None = None,
    ) -> None:
        """Without an allowance, every new key is resolved."""
        self._rows_of = rows_of
        self._most = most
        self._first_waiting = first_waiting
        self._allowance = allowance
        self._index = KeyIndex(words)
        self._rows = _unknown(self._index.room)

    def forget(self) -> None:
        """Forget every key."""
        self._index.clear()
        self._rows = _unknown(self._index.room)

    def move(self, moves: NDArray[Any]) -> None:
        """Follow rows that move: `moves` is the new row by the old row, as in `Reassignment`."""
        self._rows = moves[self._rows]

    def rows(self, keys: NDArray[Any], times: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the row of each key: `keys` shape (words, n), dtype uint64; result shape (n,), dtype intp.

        `times`, shape (n,), dtype int64, has the events of each key (None: one). Keys with more events come first where
        the allowance does not suffice.
        """
        rows: NDArray[Any] = self._rows.take(self._index.find(keys), mode="wrap")
        new = (rows < 0).nonzero()[0]
        if len(new):
            if self._allowance:
                rows[new] = OTHER
                new = self._allowed(self._allowance, keys, new, times)
            fresh, which = distinct(keys[:, new])
            rows[new] = self._resolved(fresh)[which]
        return rows

    def _resolved(self, fresh: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of distinct new keys, and remember them; under pressure `OTHER` for most of them."""
        found, done = np.full(fresh.shape[1], OTHER, np.intp), 0
        while done < len(found) and not (done and self._allowance and self._allowance.is_pressed()):
            part = slice(done, done + KEYS_AT_ONCE)
            found[part] = self._rows_of(fresh[:, part])
            done = min(part.stop, len(found))
        if self._allowance:
            self._allowance.use(done)
        self._remember(fresh[:, :done], found[:done])
        return found

    def _allowed(
        self, allowance: Allowance, keys: NDArray[Any], new: NDArray[Any], times: NDArray[Any] | None
    ) -> NDArray[Any]:
        """Return the new events, by index in `keys`, with keys that may be resolved now."""
        most = allowance.available()
        if len(new) <= most:
            return new
        weights = np.ones(len(new), np.int64) if times is None else times[new]
        result: NDArray[Any] = new[_is_of_heaviest(self._index.hashes(keys[:, new]), weights, most)]
        return result

    def _remember(self, keys: NDArray[Any], rows: NDArray[Any]) -> None:
        if len(self._index) + len(rows) > self._most:
            self._forget_waiting()
        room = self._most - len(self._index)
        keys, rows = keys[:, :room], rows[:room]
        self._add(keys, rows)

    def _forget_waiting(self) -> None:
        """Forget the keys of waiting label sets; all keys, if the others take more than half of the room."""
        rows = self._rows[: len(self._index)]
        kept = ((rows >= 0) & (rows < self._first_waiting)).nonzero()[0]
        keys, rows = self._index.keys[:, kept], rows[kept]
        self.forget()
        if 2 * len(kept) <= self._most:
            self._add(keys, rows)

    def _add(self, keys: NDArray[Any], rows: NDArray[Any]) -> None:
        self._index.add(keys)
        if len(self._rows) <= self._index.room:
            before, self._rows = self._rows, _unknown(self._index.room)
            self._rows[: len(before)] = before
        self._rows[self._index.find(keys)] = rows


def _is_of_heaviest(hashes: NDArray[Any], weights: NDArray[Any], most: int) -> NDArray[Any]:
    """Return which keys are among the `most` with the greatest sums of weights, both shape (n,); result dtype bool.

    Keys are known by their hashes. Of equally heavy keys the earlier ones are taken, because keys with the greatest
    hashes would lie side by side in the index.
    """
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    if len(first) <= most:
        return np.ones(len(hashes), bool)
    sums = np.bincount(which, weights)
    heaviest = np.zeros(len(first), bool)
    heaviest[np.lexsort((first, -sums))[:most]] = True
    result: NDArray[Any] = heaviest[which]
    return result


def _unknown(room: int) -> NDArray[Any]:
    """Return rows of -1 for so many keys, and one more for the number -1, which wraps to the end."""
    return np.full(room + 1, -1, np.intp)
