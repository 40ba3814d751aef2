# SPDX-License-Identifier: Apache-2.0
"""Limits of the time that an exporter may cost the supervisor: messages, and waits for a full channel.

A client may have taken over the exporter. Messages without end would keep the supervisor from its signals, its probes
and systemd's watchdog; an exporter that takes its messages slowly would do the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PERIOD = 60.0
"""Seconds for which the limits hold; then they begin anew."""

MOST_MESSAGES = 600
"""An exporter sends one message each heartbeat, one for each Status, and one for each reload requested by HTTP."""

MOST_BYTES = 1 << 16
"""Most bytes of one message from the exporter; the longest has the text of an error."""

MOST_SECONDS = 5.0
"""Seconds of waiting in a period: messages fit into the channel at once unless the exporter is stuck."""


class ExporterLimits:
    """The messages and waits of one exporter in the present period."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._end = self._clock() + PERIOD
        self._messages = 0
        self._waited = 0.0

    def _look_at_clock(self) -> None:
        if self._clock() >= self._end:
            self._begin()

    def count_message(self) -> None:
        """Count a message from the exporter. Raises ValueError past the limit."""
        self._look_at_clock()
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            raise ValueError(f"more than {MOST_MESSAGES} messages in {PERIOD:g} s")

    def count_wait(self, seconds: float) -> None:
        """Count the seconds that the supervisor waited to send a message."""
        self._waited += seconds

    def seconds_left(self) -> float:
        """Return how many seconds the supervisor may still wait in this period, never 0."""
        self._look_at_clock()
        return max(0.01, MOST_SECONDS - self._waited)
