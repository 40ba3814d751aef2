# SPDX-License-Identifier: Apache-2.0
"""Look-ups of names on the host that can fail now and succeed later: of users, devices, interfaces and symbols.

A series table remembers the label text of every key, so a failed look-up would be remembered for the key's life.
`Lookup` notes the numbers without a name and tries them again from time to time; once one of them has a name,
`collection.probe_readings` has the text of all keys made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

Find = Callable[[int], str | None]
"""From a number to its name, None where the host has none now."""

MOST_MISSED = 1 << 10
"""Numbers without a name that are noted. Of more, the exporter makes all text anew with each retry."""

RETRY_SECONDS = 10.0
"""From the first failed look-up to the first retry; each further retry comes after twice the time."""

LONGEST_RETRY_SECONDS = 600.0
"""The longest time between two retries: a new name is on the page within ten minutes."""


class Lookup:
    """One way to look names up, and the numbers for which it found none."""

    def __init__(self, find: Find, clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._missed: set[int] = set()
        self._pause = RETRY_SECONDS
        self._retry_at = 0.0

    def get(self, number: int) -> str | None:
        """Return the name of a number; None, and noted for a retry, where the host has none."""
        name = self._find(number)
        if name is None and len(self._missed) < MOST_MISSED:
            if not self._missed:
                self._retry_at = self._clock() + self._pause
            self._missed.add(number)
        return name

    def found_missed(self) -> bool:
        """Retry when a retry is due; say once whether a number without a name may have one now."""
        if not self._missed or self._clock() < self._retry_at:
            return False
        found = any(self._find(number) is not None for number in self._missed)
        anew = found or len(self._missed) >= MOST_MISSED
        self._pause = RETRY_SECONDS if found else min(2 * self._pause, LONGEST_RETRY_SECONDS)
        self._retry_at = self._clock() + self._pause
        if anew:
            self._missed.clear()
        return anew


class Lookups:
    """The host's look-ups by decoder: each is made for the first label that needs it, and serves all probes."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Below `root` are /etc, /proc and /sys."""
        self._root = root
        self._clock = clock
        self._lookups: dict[Callable[[Path], Find], Lookup] = {}

    def of(self, names: Callable[[Path], Find]) -> Lookup:
        """Return the look-up that `names` makes for a root."""
        if names not in self._lookups:
            self._lookups[names] = Lookup(names(self._root), self._clock)
        return self._lookups[names]

    def found_missed(self) -> bool:
        """Say once whether a failed look-up may succeed now; the caller then makes all text anew."""
        return any(lookup.found_missed() for lookup in list(self._lookups.values()))
