# SPDX-License-Identifier: Apache-2.0
"""Distinct keys of 64-bit words, numbered as they come and looked up by the batch.

An open-addressed hash table with linear probing, without a Python step a key. `key_cache` keeps decoded keys in one,
`map_deltas` the keys of kernel maps. The table grows by doubling; the owner bounds the number of keys. A hash only
says where to look: keys are compared whole, so two never merge.
"""

from __future__ import annotations

from random import SystemRandom
from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray

ROOM = 1 << 6
"""Keys that fit into a new table: most tables never have more."""

_SLOTS_A_KEY = 16
"""Of a full table one slot in sixteen is taken: few look-ups need a second step."""


def distinct(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return each key once, in order of first occurrence, and for every key the index of its equal.

    `keys` shape (words, n), dtype uint64, words at least 1; results shape (words, m), and (n,) dtype intp. The
    function takes a Python step a key, so callers use it for new keys alone.
    """
    words = len(keys)
    raw = np.ascontiguousarray(keys.T).tobytes()
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(raw[at : at + 8 * words], len(seen)) for at in range(0, len(raw), 8 * words)]
    return np.frombuffer(b"".join(seen), np.uint64).reshape(-1, words).T, np.array(which, np.intp)


class KeyIndex:
    """Numbers 0, 1, 2 … for keys of `words` 64-bit words, at least one."""

    def __init__(self, words: int) -> None:
        self._words = words
        draw = SystemRandom()
        # Other users choose names: without the random factors, they could choose names that collide.
        self._factors = [np.uint64(draw.getrandbits(64) | 1) for _ in range(words)]
        self.clear()

    def clear(self) -> None:
        """Forget every key; numbers begin at 0 again."""
        self._used = 0
        self._keys = np.zeros((self._words, 0), np.uint64)
        self._make_room(ROOM)

    def __len__(self) -> int:
        return self._used

    @property
    def room(self) -> int:
        """How many keys fit before the table grows."""
        return self._room

    @property
    def keys(self) -> NDArray[Any]:
        """All keys by number, shape (words, n), dtype uint64: a view."""
        return self._keys[:, : self._used]

    def find(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Return the number of each key, -1 for an unknown key: shape (words, n) to (n,), dtype intp."""
        slots = self._slots_of(keys)
        numbers: NDArray[Any] = self._numbers.take(slots, mode="wrap").astype(np.intp)
        pending = self._differ(numbers, keys).nonzero()[0]
        pending = pending[numbers[pending] >= 0]
        while len(pending):
            slots[pending] = further = (slots[pending] + 1) & self._mask
            numbers[pending] = found = self._numbers[further]
            pending = pending[self._differ(found, keys[:, pending]) & (found >= 0)]
        return numbers

    def add(self, keys: NDArray[Any]) -> None:
        """Give numbers to distinct keys, shape (words, n), dtype uint64; known keys keep their numbers."""
        keys = keys[:, self.find(keys) < 0]
        used = self._used + keys.shape[1]
        if used > self._room:
            self._make_room(1 << (used - 1).bit_length())
        numbers = np.arange(self._used, used)
        self._keys[:, numbers] = keys
        self._used = used
        self._place(numbers)

    def _make_room(self, room: int) -> None:
        kept = self.keys
        self._room = room
        self._shift = np.uint64(64 - (room * _SLOTS_A_KEY - 1).bit_length())
        self._mask = room * _SLOTS_A_KEY - 1
        self._numbers = np.full(room * _SLOTS_A_KEY, -1, np.int32)
        # The last column is no key's: number -1 wraps to the end. take with wrap is numpy's fastest way to gather.
        self._keys = np.zeros((self._words, room + 1), np.uint64)
        self._keys[:, : self._used] = kept
        self._place(np.arange(self._used))

    def _place(self, numbers: NDArray[Any]) -> None:
        """Give each number the first free slot from its own on; of several candidates, the last takes a slot."""
        slots = self._slots_of(self._keys[:, numbers])
        while len(numbers):
            free = self._numbers[slots] < 0
            self._numbers[slots[free]] = numbers[free]
            without = self._numbers[slots] != numbers
            numbers, slots = numbers[without], (slots[without] + 1) & self._mask

    def _differ(self, numbers: NDArray[Any], keys: NDArray[Any]) -> NDArray[Any]:
        differ: NDArray[Any] = self._keys[0].take(numbers, mode="wrap") != keys[0]
        for stored, word in zip(self._keys[1:], keys[1:], strict=True):
            differ |= stored.take(numbers, mode="wrap") != word
        return differ

    def hashes(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Return a hash of each key: shape (words, n) to (n,), dtype uint64. Distinct keys may have one hash."""
        hashes: NDArray[Any] = keys[0] * self._factors[0]
        for word, factor in zip(keys[1:], self._factors[1:], strict=True):
            hashes += word * factor
        # Without this, keys that differ by equal steps would lie in clusters.
        hashes ^= hashes >> np.uint64(32)
        hashes *= self._factors[0]
        return hashes

    def _slots_of(self, keys: NDArray[Any]) -> NDArray[Any]:
        hashes = self.hashes(keys)
        hashes >>= self._shift
        return hashes.view(np.int64)
