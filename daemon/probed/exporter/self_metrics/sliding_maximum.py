# SPDX-License-Identifier: Apache-2.0
"""The maximum of a number over the last minutes, the same for every scraper.

A maximum reset by each scrape would be split between the scrapers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 300
"""Longer than any usual scrape interval: Prometheus drops a series after five minutes without samples."""

STEP_SECONDS = 10
"""Samples of one step are merged, so at most `WINDOW_SECONDS / STEP_SECONDS + 1` are kept."""


class SlidingMaximum:
    """The maximum of all samples of the last `WINDOW_SECONDS`, up to `STEP_SECONDS` more; 0 without one.

    Samples are kept in the order of time, each larger than all later ones; no other sample can become the maximum.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[int, int]] = deque()  # step, value

    def add(self, value: int) -> None:
        """Add a sample."""
        step = self._step()
        while self._samples and self._samples[-1][1] <= value:
            self._samples.pop()
        if not self._samples or self._samples[-1][0] != step:
            self._samples.append((step, value))

    def value(self) -> int:
        """Return the maximum of the window that ends now."""
        oldest = self._step() - WINDOW_SECONDS // STEP_SECONDS
        while self._samples and self._samples[0][0] < oldest:
            self._samples.popleft()
        return self._samples[0][1] if self._samples else 0

    def _step(self) -> int:
        return int(self._clock() // STEP_SECONDS)
