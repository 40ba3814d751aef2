# SPDX-License-Identifier: Apache-2.0
"""The one thread that talks to clients: accepts, reads, writes and hangs up, and never waits for any of them.

However many connect, say nothing, trickle or do not read: no thread is theirs, and when there are too many, the address
that has most of them loses its oldest. Handshakes of TLS, which cost a client nothing and us a signature, come by turns
of the addresses, for a moment at a time. `server` makes one, takes the requests, and brings the answers back.
"""

from __future__ import annotations

import errno
import gc
import logging
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from probed.exporter.http_server.connection import Client, Gone, State
from probed.exporter.http_server.fair_queue import Turns
from probed.exporter.http_server.messages import REASONS, Response
from probed.linux import syscalls
from probed.log_limiter import Seldom

LOG = logging.getLogger("exporter")

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel's net.core.somaxconn may say less."""

UNSENT_BYTES = 16 << 20
"""Of answers that clients do not take; beyond it the one who took nothing for longest is hung up on."""

_ACCEPTS_A_TURN = 64
_EVENTS_A_TURN = 256
_HANDSHAKE_SECONDS = 0.003
"""That a turn may take for handshakes, of which it does one at least; a signature takes 0.1 ms or, with RSA, 5 ms."""
_PAUSE = 0.5
_CROWD, _FEW = 64, 8
"""When there were so many clients at a time, and are but so few, their memory is given back."""
_SELDOM = 1.0
"""Seconds between two times that it is, which take 10 ms each: others may come and go as they like."""
_GRACE_SECONDS = 0.5
"""For the first request of who is connected when it stops: it may be on its way."""
_OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MAPPED = bytes(10) + b"\xff\xff"

Welcome = Callable[[socket.socket, bytes], Client]
"""Makes a client of a connection just accepted and of whom it belongs to."""

Desk = Callable[[Client], Response | None]
"""Takes a client with a request: answers at once, or later by `answered`. Raises Gone for one to hang up on."""


class Front:
    """All connections. `run` is the thread; `answered` and `stop` may be called by any."""

    def __init__(self, sockets: Sequence[socket.socket], welcome: Welcome, desk: Desk, most: int) -> None:
        """Serve on bound sockets, `most` clients at a time."""
        self._welcome, self._desk, self._most = welcome, desk, most
        self._listeners = {listener.fileno(): listener for listener in sockets}
        self._clients: dict[int, Client] = {}
        self._of_whom: dict[bytes, dict[int, Client]] = {}
        self._writing: dict[int, Client] = {}
        self._crowd, self._given_back_at = 0, -math.inf
        self._answers: deque[tuple[Client, Response, bool]] = deque()
        self._next: deque[Client] = deque()
        self._opening = Turns[Client](2 * most)
        self._look_at, self._resume_at = math.inf, math.inf
        self._stopping = False
        self._hang_up_at = math.inf
        self.responses = dict.fromkeys(REASONS, 0)
        self.dropped = 0
        self.turned = threading.Event()
        self._seldom = Seldom(LOG)
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._waker, select.EPOLLIN)
        for listener in sockets:
            listener.setblocking(False)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.listen(BACKLOG)
            self._epoll.register(listener, select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._clients)

    def count(self, status: int) -> None:
        """Count one response."""
        self.responses[status] += 1

    def answered(self, client: Client, response: Response, last: bool) -> None:
        """Give a client its answer, the `last` on its connection or not."""
        self._answers.append((client, response, last))
        self._wake()

    def poke(self) -> None:
        """Make the thread turn once: `turned` is set when it has."""
        self.turned.clear()
        self._wake()

    def stop(self) -> None:
        """Accept nothing more, hang up on who asks nothing: `run` returns when all requests are answered.

        Who has not asked for anything yet is waited for, half a second at most.
        """
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # `run` has returned
            os.eventfd_write(self._waker, 1)

    def run(self) -> None:
        """Serve until `stop`, then close all sockets."""
        while not self._stopping or self._busy():
            self._turn()
        for client in list(self._clients.values()):
            self._drop(client)
        self._epoll.close()
        os.close(self._waker)
        for listener in self._listeners.values():
            listener.close()

    def _busy(self) -> bool:
        """Say whether anybody still waits for an answer; hang up on the others."""
        if self._listeners:
            self._close_listeners()
            self._hang_up_at = time.monotonic() + _GRACE_SECONDS
            self._wake()
            self._turn()  # who has sent a request by now is answered
        is_late = self._hang_up_at <= time.monotonic()
        for client in list(self._clients.values()):
            if client.state not in (State.WORKING, State.WRITING) and (is_late or not client.is_new):
                self._drop(client)
        return bool(self._clients)

    def _close_listeners(self) -> None:
        for fd, listener in self._listeners.items():
            self._epoll.unregister(fd)
            listener.close()
        self._listeners = {}

    def _turn(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout(), _EVENTS_A_TURN):
            if fd == self._waker:
                os.eventfd_read(self._waker)
                self.turned.set()
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
            elif fd in self._clients:
                self._heed(self._clients[fd])
        for _ in range(len(self._answers)):
            client, response, last = self._answers.popleft()
            client.answer(response, last or self._stopping)
            self._advance(client)
        for _ in range(len(self._next)):
            client = self._next.popleft()
            if self._has(client):
                self._advance(client)
        self._shake_hands()
        now = time.monotonic()
        self._give_back(now)
        self._on_clock(now)

    def _has(self, client: Client) -> bool:
        """Say whether it is still there."""
        return self._clients.get(client.fd) is client

    def _heed(self, client: Client) -> None:
        """Let a client go on now, or with its handshake when it is its turn."""
        if client.state is not State.OPENING:
            self._advance(client)
            return
        loser = self._opening.put(client.whom, client)
        if loser and self._has(loser):
            self._drop(loser)

    def _shake_hands(self) -> None:
        end = time.monotonic() + _HANDSHAKE_SECONDS
        while len(self._opening) and time.monotonic() < end:
            client = self._opening.take()
            if client and self._has(client):
                self._advance(client)

    def _timeout(self) -> float | None:
        if self._next or self._answers or len(self._opening):
            return 0
        due = min(self._look_at, self._resume_at)
        if self._hang_up_at > time.monotonic():
            due = min(due, self._hang_up_at)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                connected, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_ROOM:
                    self._make_room(error)
                    return
                continue  # the client has gone meanwhile
            self._add(connected, whom(address[0]))

    def _add(self, connected: socket.socket, whom: bytes) -> None:
        if len(self._clients) >= self._most:
            self._drop_one()
        connected.setblocking(False)
        try:
            client = self._welcome(connected, whom)
        except OSError as error:
            self._seldom.log(logging.WARNING, f"HTTP: cannot serve a connection: {error}")
            connected.close()
            return
        self._clients[client.fd] = client
        self._of_whom.setdefault(whom, {})[client.fd] = client
        self._crowd = max(self._crowd, len(self._clients))
        if client.state is State.OPENING:
            self._arm(client, select.EPOLLIN)
        else:
            self._advance(client)

    def _make_room(self, error: OSError) -> None:
        """Close a connection, or accept nothing for a while: the clients stay in the backlog."""
        self._seldom.log(logging.WARNING, f"HTTP: cannot accept a connection: {error.strerror}")
        if not self._drop_one():
            for fd in self._listeners:
                self._epoll.modify(fd, 0)
            self._resume_at = time.monotonic() + _PAUSE

    def _drop_one(self) -> bool:
        """Hang up on the oldest client of the address that has most, unless its request is being worked on."""
        for clients in sorted(self._of_whom.values(), key=len, reverse=True):
            for client in clients.values():
                if client.state is not State.WORKING:
                    self.dropped += 1
                    self._drop(client)
                    return True
        return False

    def _advance(self, client: Client) -> None:
        """Let a client go on, and arm what it then waits for. A request that can be answered at once is."""
        if client.request is not None:
            return  # the connection broke; the answer will find out
        try:
            events = client.advance()
            if client.request is not None:
                response = self._desk(client)  # may raise Gone
                if response is None:
                    return
                client.answer(response, self._stopping)
                self._next.append(client)  # others come first
                return
        except Gone as gone:
            if gone.__cause__:
                LOG.debug("HTTP: a connection broke: %s", gone.__cause__)
            self._drop(client)
            return
        self._arm(client, events)
        self._writing.pop(client.fd, None)
        if client.state is State.WRITING:
            self._writing[client.fd] = client
            self._bound_unsent()

    def _arm(self, client: Client, events: int) -> None:
        """Wait for events, once, or for its deadline."""
        self._look_at = min(self._look_at, client.deadline)
        if client.armed:
            self._epoll.modify(client.fd, events | select.EPOLLONESHOT)
        else:
            client.armed = True
            self._epoll.register(client.fd, events | select.EPOLLONESHOT)

    def _bound_unsent(self) -> None:
        while len(self._writing) > 1 and sum(client.unsent for client in self._writing.values()) > UNSENT_BYTES:
            self.dropped += 1
            self._drop(next(iter(self._writing.values())))

    def _drop(self, client: Client) -> None:
        del self._clients[client.fd]
        self._writing.pop(client.fd, None)
        clients = self._of_whom[client.whom]
        del clients[client.fd]
        if not clients:
            del self._of_whom[client.whom]
        client.close()

    def _give_back(self, now: float) -> None:
        """Return the memory of a crowd that has gone: the allocator would keep it, 20 MB after many handshakes."""
        if self._crowd >= _CROWD and len(self._clients) <= _FEW and now >= self._given_back_at + _SELDOM:
            self._crowd, self._given_back_at = 0, now
            gc.collect()
            syscalls.trim_heap()

    def _on_clock(self, now: float) -> None:
        if self._resume_at <= now:
            self._resume_at = math.inf
            for fd in self._listeners:
                self._epoll.modify(fd, select.EPOLLIN)
        if self._look_at > now:
            return
        for client in [client for client in self._clients.values() if client.deadline <= now]:
            try:
                client.expire()
            except Gone:
                self._drop(client)
            else:
                self._advance(client)
        self._look_at = min((client.deadline for client in self._clients.values()), default=math.inf)


def whom(address: str) -> bytes:
    """Return whom a connection belongs to: an IPv4 address, or a network of IPv6, in which one may have many."""
    if ":" not in address:
        return socket.inet_aton(address)
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed[:8]
