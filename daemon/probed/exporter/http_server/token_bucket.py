# SPDX-License-Identifier: Apache-2.0
"""A token bucket: the rate limit of a web configuration, over all requests together."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Admits `burst` requests at once, then one more each `interval` seconds (0: no limit). Not thread-safe."""

    def __init__(self, interval: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._burst, self._clock = interval, burst, clock
        self._tokens, self._refilled_at = float(burst), clock()

    def take(self) -> bool:
        """Take a token for one request; return whether there was one."""
        if not self._interval:
            return True
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) / self._interval)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
