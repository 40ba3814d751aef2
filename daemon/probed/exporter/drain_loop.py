# SPDX-License-Identifier: Apache-2.0
"""The exporter's one clocked loop: waits for fill marks and for the supervisor, and drains.

`main` runs it on the main thread. Scrapes drain by themselves, and programs wake the loop when a quarter of a ring
waits, so the loop drains nothing by the clock: events are safe in a ring, announcements of control groups too. An idle
loop turns once for each heartbeat. After a wake-up by a ring the loop watches for a storm (`storm_watch`).

One case needs the clock. A program whose CPU is taken away after it reserved a record and before it submits the record
holds up every record behind it. The ring may fill meanwhile, and a full ring wakes nothing. So the loop drains again
after HELD_UP_SECONDS until no record is held up.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import assert_never

from probed.exporter.collection.collector import Collector
from probed.exporter.heartbeat import Heartbeat
from probed.ipc.channel import Channel, Packet, Starved
from probed.ipc.evidence_messages import EvidenceReport
from probed.ipc.exporter_messages import (
    AddProbe,
    FromExporter,
    NameContainers,
    NewWebSettings,
    ReloadEnded,
    RemoveProbe,
    Serve,
    Start,
    Status,
    Stop,
    ToExporter,
)
from probed.ipc.manifest import LoadedProbe

LOG = logging.getLogger("exporter")

MOVES_WITHIN = 2.0
"""A loop without a turn for so long is stuck: the largest batch takes some milliseconds."""


HELD_UP_SECONDS = 0.05
"""Seconds between two drains while a record that is not submitted yet holds up a ring."""


def _refuse(packet: Packet[ToExporter]) -> None:
    raise ValueError(f"the supervisor sent a message of kind '{type(packet.message).__name__}'")


class Loop:
    """Owns the epoll set: the supervisor's channel, the rings of the probes, and an eventfd."""

    def __init__(
        self,
        channel: Channel[FromExporter, ToExporter],
        collector: Collector,
        heartbeat: Heartbeat,
        on_other: Callable[[Packet[ToExporter]], None] = _refuse,
    ) -> None:
        """Obey the supervisor's messages; `on_other` gets those that do not concern the collector."""
        self._on_other = on_other
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
            ready = {fd for fd, _ in self._epoll.poll(self._seconds_to_wait())}
            if self._channel.fileno() in ready:
                self._receive()
            if self._poke in ready:
                os.eventfd_read(self._poke)
            woken = bool(ready - {self._channel.fileno(), self._poke})
            if woken or self._collector.is_held_up:
                self._collector.drain()
            if woken:
                self._collector.begin_watch()
            for wanted in self._collector.end_watch():
                self._channel.send(wanted)
            if not self._heartbeat.due_in():
                self._collector.keep_up()
                self._heartbeat.send()
            with self._turned:
                self._turns += 1
                self._turned.notify_all()
        self._collector.drain()

    def _seconds_to_wait(self) -> float:
        due = min(self._heartbeat.due_in(), self._collector.watch_due_in())
        return min(due, HELD_UP_SECONDS) if self._collector.is_held_up else due

    def is_alive(self) -> bool:
        """Wake the loop and say whether it turns in time; called by the HTTP threads."""
        with self._turned:
            before = self._turns
            os.eventfd_write(self._poke, 1)
            return self._turned.wait_for(lambda: self._turns != before, MOVES_WITHIN)

    def _receive(self) -> None:
        try:
            packet = self._channel.receive()
        except Starved as starved:
            packet = Packet(starved.message, ())  # a probe without its descriptors, which `Collector.add` leaves out
        self._dispatch(packet)

    def _dispatch(self, packet: Packet[ToExporter]) -> None:
        match packet.message:
            case AddProbe(probe):
                self._add(probe, packet.fds)
            case RemoveProbe(name):
                self._forget_ring(name)
                self._collector.remove(name)
            case Status() as status:
                self._collector.status.supervisor = status
                self._heartbeat.send_now()
            case NameContainers(names, removed):
                self._collector.name_containers(names, removed)
            case EvidenceReport() as report:
                self._collector.evidence = report
            case Serve():
                self._may_serve = True
            case Stop():
                self._stopping = True
            case Start() | NewWebSettings() | ReloadEnded():
                self._on_other(packet)
            case never:
                assert_never(never)

    def _add(self, loaded: LoadedProbe, fds: tuple[int, ...]) -> None:
        self._forget_ring(loaded.name)
        ring = self._collector.add(loaded, dict(zip(loaded.fd_names, fds, strict=False)))
        if ring is not None:
            # Edge-triggered: a program's wake-up at the fill mark wakes the loop, waiting events do not.
            self._epoll.register(ring, select.EPOLLIN | select.EPOLLET)
            self._rings[loaded.name] = ring

    def _forget_ring(self, name: str) -> None:
        """Take a ring out of the epoll set: the supervisor has the ring open too, so closing is not enough."""
        ring = self._rings.pop(name, None)
        if ring is not None:
            self._epoll.unregister(ring)
