# SPDX-License-Identifier: Apache-2.0
"""A clock for tests of code that reads time through a callable."""

from __future__ import annotations


class Clock:
    """Returns `now`, in seconds; the test sets it, and each reading first adds `step`."""

    def __init__(self, now: float = 1000.0, step: float = 0.0) -> None:
        self.now = now
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now
