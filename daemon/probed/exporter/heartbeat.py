# SPDX-License-Identifier: Apache-2.0
"""The exporter's sign of life: sent to the supervisor now and then, while the drain loop and the HTTP server move.

`loop` asks when it is due and calls `beat`. That the loop moves, it shows by calling. The HTTP server is
poked at one beat and looked at with the next: the drain loop waits for nobody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from probed.exporter.collector import Collection
from probed.exporter.self_metrics.probes import ProbeStats
from probed.ipc.channel import Channel
from probed.ipc.exporter_messages import FromExporter, Pulse, ToExporter
from probed.log import MessageId

LOG = logging.getLogger("exporter")

LOOK_AGAIN = 0.5
LOSS_PERIOD = 60.0
"""Seconds between two log lines about events lost by one probe."""


class Serving(Protocol):
    """The HTTP server, as far as its movement goes."""

    def poke(self) -> None:
        """Make it turn once."""

    def moved(self) -> bool:
        """Say whether it has turned since it was poked."""


class Heart:
    """Beats every so many seconds."""

    def __init__(
        self,
        channel: Channel[FromExporter, ToExporter],
        collection: Collection,
        server: Serving,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._collection = collection
        self._server = server
        self._seconds = seconds
        self._clock = clock
        self._next = clock()
        self._losses = Losses(clock)
        server.poke()

    def due_in(self) -> float:
        """Return how many seconds the next beat is away, 0 when it is due."""
        return max(0.0, self._next - self._clock())

    def hasten(self) -> None:
        """Make the next beat due now."""
        self._next = self._clock()

    def beat(self) -> None:
        """Send a sign of life with the sums of this moment, unless the HTTP server has stood still since the last."""
        if not self._server.moved():
            self._next = self._clock() + min(self._seconds, LOOK_AGAIN)
            return
        self._next = self._clock() + self._seconds
        self._server.poke()
        numbers = self._collection.brief()
        self._losses.tell(numbers)
        series = sum(usage.series for each in numbers for usage in each.usages)
        lost = sum(sum(each.lost.values()) for each in numbers)
        self._channel.send(Pulse(self._collection.status is not None, series, lost))


class Losses:
    """Logs lost events: for each probe at most once a minute, with the number since the line before.

    A filter of `logging` cannot limit these lines: the number depends on whether the line before was logged.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, Mapping[str, int]]] = {}

    def tell(self, numbers: Sequence[ProbeStats]) -> None:
        """Compare with what was said before; a probe that is seen for the first time, or anew, starts from 0."""
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
