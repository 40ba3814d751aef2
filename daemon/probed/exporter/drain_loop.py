# SPDX-License-Identifier: Apache-2.0
"""The exporter's one clocked loop: waits for fill marks and for the supervisor, and drains.

`main` runs the loop on the main thread. Scrapes drain on their own, and programs wake the loop before a ring is a
quarter full, so no drain is clocked: events and announced control groups are safe in a ring. An idle loop turns once a
heartbeat.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from probed.exporter.collector import Collector
from probed.exporter.heartbeat import Heartbeat
from probed.ipc.channel import Channel, Message, Starved
from probed.ipc.manifest import LoadedProbe, Status
from probed.schema import structure

LOG = logging.getLogger("exporter")

MOVES_WITHIN = 2.0
"""A loop without a turn for so long is stuck: the largest batch takes some milliseconds."""


class Loop:
    """Owns the epoll set: the supervisor's channel, the rings of the probes, and an eventfd."""

    def __init__(
        self,
        channel: Channel,
        collector: Collector,
        heartbeat: Heartbeat,
        others: Mapping[str, Callable[[Message], None]] = MappingProxyType({}),
    ) -> None:
        """Wait for the supervisor's messages; `others` handle, by kind, messages without effect on the collector."""
        self._others = others
        self._heartbeat = heartbeat
        self._channel = channel
        self._collector = collector
        self._poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._turned = threading.Condition()
        self._turns = 0
        self._stopping = False
        self._may_serve = False
        self._rings: dict[str, int] = {}
        self._epoll = select.epoll()
        self._epoll.register(channel.fileno(), select.EPOLLIN)
        self._epoll.register(self._poke, select.EPOLLIN)

    def prepare(self) -> None:
        """Receive the probes and states so far, until the supervisor's message ``serve``. Raises Closed."""
        while not self._may_serve:
            self._receive()

    def run(self) -> None:
        """Turn until the supervisor's message ``stop``, then drain once more. Raises Closed without a supervisor."""
        while not self._stopping:
            ready = {fd for fd, _ in self._epoll.poll(self._heartbeat.due_in())}
            if self._channel.fileno() in ready:
                self._receive()
            if self._poke in ready:
                os.eventfd_read(self._poke)
            if ready - {self._channel.fileno(), self._poke}:
                self._collector.drain()
            if not self._heartbeat.due_in():
                self._collector.keep_up()
                self._heartbeat.send()
            with self._turned:
                self._turns += 1
                self._turned.notify_all()
        self._collector.drain()

    def is_alive(self) -> bool:
        """Wake the loop and say whether it turns in time; called by the HTTP threads."""
        with self._turned:
            before = self._turns
            os.eventfd_write(self._poke, 1)
            return self._turned.wait_for(lambda: self._turns != before, MOVES_WITHIN)

    def _receive(self) -> None:
        try:
            message = self._channel.receive()
        except Starved as starved:
            message = starved.message  # only a probe comes with descriptors; `Collector.add` notes missing ones
        self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        order: Callable[[Message], None] | None = {
            "probe": self._add,
            "remove": self._remove,
            "status": self._take_status,
            "serve": self._serve,
            "stop": self._stop,
            **self._others,
        }.get(message.kind)
        if order is None:
            raise ValueError(f"the supervisor sent a message of kind '{message.kind}'")
        order(message)

    def _add(self, message: Message) -> None:
        loaded = structure.build(LoadedProbe, message.data, structure.Source("the supervisor's message"))
        self._forget_ring(loaded.name)
        ring = self._collector.add(loaded, dict(zip(loaded.fd_names, message.fds, strict=False)))
        if ring is not None:
            # Edge-triggered: a program's wake-up at the fill mark wakes the loop, waiting events do not.
            self._epoll.register(ring, select.EPOLLIN | select.EPOLLET)
            self._rings[loaded.name] = ring

    def _remove(self, message: Message) -> None:
        name = str(message.data)
        self._forget_ring(name)
        self._collector.remove(name)

    def _forget_ring(self, name: str) -> None:
        """Take a ring out of the epoll set: the supervisor has the ring open too, so closing is not enough."""
        ring = self._rings.pop(name, None)
        if ring is not None:
            self._epoll.unregister(ring)

    def _take_status(self, message: Message) -> None:
        self._collector.status = structure.build(Status, message.data, structure.Source("the supervisor's message"))
        self._heartbeat.send_now()

    def _serve(self, _: Message) -> None:
        self._may_serve = True

    def _stop(self, _: Message) -> None:
        self._stopping = True
