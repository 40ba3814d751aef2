# SPDX-License-Identifier: Apache-2.0
"""A table of the host with names by number: kept for a while, read again when too old, and bounded.

Decoders that look names up in a table use it, each with its own function that reads the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

MOST = 1 << 16
"""Entries that are kept; numbers further down a longer table have no name."""

OLD_SECONDS = 60.0
"""A table older than this is read again at the next look-up."""

ANEW_SECONDS = 1.0
"""An unknown number makes the exporter read the table again, at most this often: unknown numbers can come by the
thousand."""


class HostTable:
    """Names by number, as `read` yields them; the table is empty while `read` raises OSError."""

    def __init__(
        self, read: Callable[[], Iterable[tuple[int, str]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._names: dict[int, str] = {}
        self._read_at = -OLD_SECONDS

    def get(self, number: int) -> str | None:
        """Return the name of a number, None where the table has none."""
        age = self._clock() - self._read_at
        if age >= OLD_SECONDS or (number not in self._names and age >= ANEW_SECONDS):
            self._fill()
        return self._names.get(number)

    def _fill(self) -> None:
        self._read_at = self._clock()
        try:
            self._names = dict(islice(self._read(), MOST))
        except OSError:
            self._names = {}
