# SPDX-License-Identifier: Apache-2.0
"""The maximum of a number over the last minutes, the same for every scraper.

A maximum that a scrape sets back would be shared between scrapers: each would see a part of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 300
"""Longer than any sensible scrape interval: Prometheus takes a series for gone after five minutes."""

STEP_SECONDS = 10
"""Samples of one step are kept as one, so there are at most `WINDOW_SECONDS / STEP_SECONDS + 1`."""


class SlidingMaximum:
    """The maximum of all samples of the last `WINDOW_SECONDS`, up to `STEP_SECONDS` more; 0 without one.

    The samples are in the order of time, and each is larger than all that follow it: others can never be the maximum.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[int, int]] = deque()  # step, value

    def add(self, value: int) -> None:
        """Take one sample."""
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
