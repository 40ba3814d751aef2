# SPDX-License-Identifier: Apache-2.0
"""From the keys of a batch to rows of a series table, without a Python step an event.

`series` owns one for each metric. A key's hash picks a slot, the slot holds one key and its row; keys that find
another key there, or none, are taken one by one. The hash alone is never trusted: two label sets must not merge.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOT_BITS = 14
MAX_KEYS = 1 << 16
"""So many keys are remembered; past them all are forgotten and found again as they come."""


class Grouping:
    """Rows for keys of `words` 64-bit words; `row_of` makes the row of a key that was not seen before."""

    def __init__(self, words: int, row_of: Callable[[NDArray[Any]], int]) -> None:
        self._words = words
        self._row_of = row_of
        # Names are chosen by strangers: without the drawn factors they could choose them to collide.
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(words)]
        self._forget()

    def _forget(self) -> None:
        self._known: dict[bytes, int] = {}
        self._slot_keys = np.zeros((self._words, 1 << SLOT_BITS), np.uint64)
        self._slot_rows = np.full(1 << SLOT_BITS, -1, np.intp)

    def forget(self) -> None:
        """Forget every key: rows have changed their meaning."""
        self._forget()

    def rows(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Return the row of each key: `keys` shape (words, n), dtype uint64; result shape (n,), dtype intp."""
        if not self._words:
            return np.zeros(keys.shape[1], np.intp)
        slots = self._slots(keys)
        rows: NDArray[Any] = self._slot_rows[slots]
        misses: NDArray[Any] = rows < 0
        for stored, word in zip(self._slot_keys, keys, strict=True):
            misses |= stored[slots] != word
        missed = misses.nonzero()[0]
        if len(missed):
            rows[missed] = self._rows_one_by_one(keys[:, missed], slots[missed])
        return rows

    def _slots(self, keys: NDArray[Any]) -> NDArray[Any]:
        hashes: NDArray[Any] = keys[0] * self._factors[0]
        for word, factor in zip(keys[1:], self._factors[1:], strict=True):
            hashes ^= hashes >> np.uint64(29)
            hashes += word * factor
        hashes ^= hashes >> np.uint64(32)
        hashes *= self._factors[0]
        slots: NDArray[Any] = (hashes >> np.uint64(64 - SLOT_BITS)).view(np.int64)
        return slots

    def _rows_one_by_one(self, keys: NDArray[Any], slots: NDArray[Any]) -> NDArray[Any]:
        """Look up keys that no slot knew: once for each distinct key, then spread over the events."""
        raw = np.ascontiguousarray(keys.T).view(f"V{8 * self._words}").ravel()
        _, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
        found = np.empty(len(first), np.intp)
        for index, at in enumerate(first.tolist()):
            found[index] = row = self._row(raw[at].tobytes(), keys[:, at])
            self._slot_keys[:, slots[at]] = keys[:, at]
            self._slot_rows[slots[at]] = row
        spread: NDArray[Any] = found[inverse.ravel()]
        return spread

    def _row(self, raw: bytes, key: NDArray[Any]) -> int:
        row = self._known.get(raw)
        if row is None:
            if len(self._known) >= MAX_KEYS:
                self._forget()
            row = self._known[raw] = self._row_of(key)
        return row
