# SPDX-License-Identifier: Apache-2.0
"""Numbers that outlive the exporter, and change all at once.

The numbers lie in memory owned by the supervisor (a memfd for each probe, `state` among its fds), in two copies. The
exporter writes to the inactive copy; `commit` activates all writes with one store of eight bytes. So the next exporter
finds the last commit, at whichever instruction this one was killed: a batch's counts together with the position in the
ring up to which they reach.

The supervisor trusts nothing in this memory, and the next exporter checks what it takes over: an exporter that a client
has taken over can write anything here. The owner of a number raises SpoiledState for one that no exporter commits.

`probe` commits; the modules of `series` and `map_deltas` keep numbers here. The memory is shared and stores of one
process arrive in order, so a store before a kill is there after the kill.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray

VERSION = 5
"""The version of the memory's layout. The exporter clears memory of another version."""

SLOTS = 1 << 12
"""Most arrays and scalars of a ledger; only the pages in use take memory."""

CHUNK = 1 << 26
"""Bytes mapped at a time; every mapping costs a descriptor."""

MOST = 1 << 62
"""Bound of every scalar: sums of two stay below 2 to the 64th."""

MOST_COUNT = 1 << 53
"""Bound of every count of events, up to which a float64 is exact: 28 years of ten million a second."""

_WORD = 8
_IDENTITY_WORDS = 12
_HEAD_WORDS = _IDENTITY_WORDS + 1  # and the commits so far: the lowest bit says which root is active


class SpoiledState(Exception):
    """The memory has numbers that no exporter commits: an intruder wrote them. The state must begin anew."""


def require(sound: bool, fault: str) -> None:
    """Raise SpoiledState with a fault, the end of a sentence, unless taken-over numbers are sound."""
    if not sound:
        raise SpoiledState(fault)


class Ledger:
    """The memory behind `fd`: the numbers of `identity`, or none yet.

    The root has the scalars, and for every array the active one of two copies and the number of rows in use. The root
    has two copies too; the head says which one is active.
    """

    def __init__(self, fd: int, identity: str) -> None:
        """Map the memory; clear memory of another identity. Raises OSError, SpoiledState.

        `identity` has 94 bytes at most.
        """
        self._fd = fd
        self._chunk = np.zeros(0, np.uint64)
        self._end = 0
        mark = f"{VERSION} {identity}".encode().ljust(_IDENTITY_WORDS * _WORD, b"\0")
        if os.pread(fd, len(mark), 0) != mark:
            os.ftruncate(fd, 0)
        self._head = self._words(_HEAD_WORDS)
        self._head[:_IDENTITY_WORDS] = np.frombuffer(mark, np.uint64)
        self._roots = self._words(2 * SLOTS).reshape(2, SLOTS)
        self._slots = 0
        require(self.commits <= MOST, "the number of commits is out of range")
        self.root: NDArray[Any] = self._roots[self.commits & 1].copy()
        self.written: set[int] = set()

    @property
    def commits(self) -> int:
        """Number of commits, by all exporters that had this memory."""
        return int(self._head[_IDENTITY_WORDS])

    def _words(self, count: int) -> NDArray[Any]:
        """Return the next words of the memory, dtype uint64, 0 where nothing was written yet."""
        if count > len(self._chunk):
            size = max(CHUNK, -(-count * _WORD // CHUNK) * CHUNK)
            if os.fstat(self._fd).st_size < self._end + size:
                os.ftruncate(self._fd, self._end + size)
            self._chunk = np.frombuffer(mmap.mmap(self._fd, size, offset=self._end), np.uint64)
            self._end += size
        words, self._chunk = self._chunk[:count], self._chunk[count:]
        return words

    def _slot(self) -> int:
        self._slots += 1
        return self._slots - 1

    def scalar(self) -> Scalar:
        """Return the next scalar. Raises SpoiledState.

        The next exporter must ask for the same scalars and arrays in the same order.
        """
        scalar = Scalar(self.root, self._slot())
        require(scalar.value <= MOST, "a number is out of range")
        return scalar

    def array(self, rows: int, columns: int) -> Array:
        """Return the next array of at most `rows` rows. Raises OSError, SpoiledState."""
        array = Array(self, self._slot(), self._words(2 * rows * columns).reshape(2, rows, columns))
        require(len(array) <= rows, "an array has too many rows")
        return array

    def blob(self, size: int) -> NDArray[Any]:
        """Return the next `size` bytes, shape (size,), dtype uint8, in one copy: a commit makes them reachable."""
        return self._words(-(-size // _WORD)).view(np.uint8)

    def trim(self) -> None:
        """Give back memory behind the last array: none of it is in use. Raises OSError."""
        os.ftruncate(self._fd, self._end)

    def commit(self) -> None:
        """Activate all writes since the last commit."""
        commits = self.commits + 1
        self._roots[commits & 1, : self._slots] = self.root[: self._slots]
        self._head[_IDENTITY_WORDS] = commits
        self.written.clear()


class Scalar:
    """One whole number, 0 at first."""

    def __init__(self, root: NDArray[Any], slot: int) -> None:
        self._root = root
        self._slot = slot

    @property
    def value(self) -> int:
        """The number, 0 to 2 to the 64th less 1."""
        return int(self._root[self._slot])

    @value.setter
    def value(self, value: int) -> None:
        self._root[self._slot] = value


class Array:
    """Rows of 64-bit words, none at first."""

    def __init__(self, ledger: Ledger, slot: int, copies: NDArray[Any]) -> None:
        self._ledger = ledger
        self._slot = slot
        self._copies = copies

    def __len__(self) -> int:
        """Return how many rows are in use."""
        return int(self._ledger.root[self._slot]) >> 1

    @property
    def _current(self) -> NDArray[Any]:
        current: NDArray[Any] = self._copies[int(self._ledger.root[self._slot]) & 1]
        return current

    def read(self) -> NDArray[Any]:
        """Return the rows in use, shape (n, columns), dtype uint64: a view, to read only."""
        return self._current[: len(self)]

    def write(self, rows: int) -> NDArray[Any]:
        """Return the rows in use, at least `rows`, to write to until the next commit; new rows are 0."""
        used = len(self)
        if self._slot not in self._ledger.written:
            self._ledger.written.add(self._slot)
            self._ledger.root[self._slot] ^= np.uint64(1)
            self._current[:used] = self._copies[1 - (int(self._ledger.root[self._slot]) & 1)][:used]
        if rows > used:
            self._current[used:rows] = 0
            self.resize(rows)
        return self.read()

    def resize(self, rows: int) -> None:
        """Set the number of rows in use, of an array that was written to since the last commit."""
        self._ledger.root[self._slot] = rows << 1 | (int(self._ledger.root[self._slot]) & 1)
