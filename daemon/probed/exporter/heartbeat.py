# SPDX-License-Identifier: Apache-2.0
"""The exporter's heartbeat: a message to the supervisor at intervals, while drain loop and HTTP server respond.

`drain_loop` calls `send` when a heartbeat is due, which shows that the loop turns. Each heartbeat pings the HTTP
server, and the next one looks for the response: the drain loop never waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from probed.exporter.collection.collector import Collector
from probed.exporter.self_metrics.probes import ProbeStats
from probed.ipc.channel import Channel
from probed.ipc.exporter_messages import FromExporter, Pulse, ToExporter
from probed.log import MessageId

LOG = logging.getLogger("exporter")

LOOK_AGAIN = 0.5
LOSS_PERIOD = 60.0
"""Seconds between two log lines about events lost by one probe."""


class Serving(Protocol):
    """The HTTP server as the heartbeat sees it."""

    def ping(self) -> None:
        """Make the server's loop turn once."""

    def responded(self) -> bool:
        """Say whether the loop has turned since the last ping."""


class Heartbeat:
    """Sends a heartbeat every `seconds`."""

    def __init__(
        self,
        channel: Channel[FromExporter, ToExporter],
        collector: Collector,
        server: Serving,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._collector = collector
        self._server = server
        self._seconds = seconds
        self._clock = clock
        self._next = clock()
        self._losses = Losses(clock)
        server.ping()

    def due_in(self) -> float:
        """Return the seconds until the next heartbeat, 0 when one is due."""
        return max(0.0, self._next - self._clock())

    def send_now(self) -> None:
        """Make the next heartbeat due now."""
        self._next = self._clock()

    def send(self) -> None:
        """Send a heartbeat with the present sums, unless the HTTP server has not responded since the last one."""
        if not self._server.responded():
            self._next = self._clock() + min(self._seconds, LOOK_AGAIN)
            return
        self._next = self._clock() + self._seconds
        self._server.ping()
        numbers = self._collector.loss_summary()
        self._losses.tell(numbers)
        series = sum(usage.series for each in numbers for usage in each.usages)
        lost = sum(sum(each.lost.values()) for each in numbers)
        status = self._collector.status
        self._channel.send(Pulse(status.supervisor is not None, series, lost, len(status.left_out)))


class Losses:
    """Logs lost events: for each probe at most once a minute, with the number since the line before.

    A filter of `logging` cannot limit these lines: the number depends on whether the line before was logged.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, Mapping[str, int]]] = {}

    def tell(self, numbers: Sequence[ProbeStats]) -> None:
        """Log the losses since the last line of each probe; a new or reloaded probe starts from 0."""
        now = self._clock()
        for each in numbers:
            at, before = self._said.get(each.name, (-LOSS_PERIOD, {}))
            more = {reason: count - before.get(reason, 0) for reason, count in each.lost.items()}
            if any(count < 0 for count in more.values()):
                more = dict(each.lost)
            if any(more.values()) and now - at >= LOSS_PERIOD:
                self._said[each.name] = now, dict(each.lost)
                reasons = ", ".join(f"{count} {reason}" for reason, count in more.items() if count)
                LOG.warning(
                    "probe '%s': %d events lost (%s), %d in all: its metrics lack them; where a ring was full, "
                    "a larger one helps (ring.bytes)",
                    each.name, sum(more.values()), reasons, sum(each.lost.values()),
                    extra={"PROBE": each.name, "MESSAGE_ID": MessageId.EVENTS_LOST},
                )  # fmt: skip
