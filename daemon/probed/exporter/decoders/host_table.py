# SPDX-License-Identifier: Apache-2.0
"""A table of the host's, kept for a while: read anew when it may be out of date, and bounded.

The decoders that look names up use it. What reads the table is handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

MOST = 1 << 16
"""Entries that are kept; the rest of a longer table stays numbers."""

OLD_SECONDS = 60.0
"""A table older than this is read anew before it is asked."""

ANEW_SECONDS = 1.0
"""An unknown number makes it be read anew, but no more often than this: numbers may be made up by the thousand."""


class Snapshot:
    """Texts by number, as `read` yields them; it may raise OSError, and the table is then empty."""

    def __init__(
        self, read: Callable[[], Iterable[tuple[int, str]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._texts: dict[int, str] = {}
        self._read_at = -OLD_SECONDS

    def get(self, number: int) -> str | None:
        """Return the text of a number, None where the table has none."""
        age = self._clock() - self._read_at
        if age >= OLD_SECONDS or (number not in self._texts and age >= ANEW_SECONDS):
            self._fill()
        return self._texts.get(number)

    def _fill(self) -> None:
        self._read_at = self._clock()
        try:
            self._texts = dict(islice(self._read(), MOST))
        except OSError:
            self._texts = {}
