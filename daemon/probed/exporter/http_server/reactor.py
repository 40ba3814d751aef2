# SPDX-License-Identifier: Apache-2.0
"""The reactor: one thread that accepts, reads, writes and closes all connections, and blocks on none of them.

A client that is silent, slow or does not read occupies no thread. Above the limit of connections, the reactor closes
the oldest connection of the address with the most connections. Addresses take turns to have a new connection served.
A TLS handshake costs the server a signature and the client nothing, so addresses also take turns for handshakes, one
in each iteration. `server` creates the reactor, takes requests from it and hands responses back.
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
from functools import partial

from probed.exporter.http_server.accept_queue import AcceptQueue
from probed.exporter.http_server.connection import Connection, ConnectionClosed, ConnectionState
from probed.exporter.http_server.fair_queue import FairQueue
from probed.exporter.http_server.messages import REASONS, Response
from probed.linux import syscalls
from probed.log_limiter import REPEATABLE

LOG = logging.getLogger("exporter")

BACKLOG = 4096
"""Most connections that wait to be accepted; the kernel's net.core.somaxconn may be lower."""

UNSENT_BYTES = 16 << 20
"""Most bytes of unsent responses; above, the reactor closes the connection that has not progressed for longest."""

_ACCEPTS_EACH_TIME = 1024
_EVENTS_EACH_TIME = 256
_SERVE_SECONDS = 0.003
"""Time for new connections in each iteration, at least one connection."""
_PAUSE = 0.5
_MANY, _FEW = 64, 8
"""The heap is trimmed once at most `_FEW` of at least `_MANY` connections are left."""
_TRIM_SECONDS = 1.0
"""Seconds between two trims of the heap, which take 10 ms each."""
_GRACE_SECONDS = 0.5
"""At a stop: seconds for the first request of a connection, which may be on its way."""
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MAPPED = bytes(10) + b"\xff\xff"

ConnectionFactory = Callable[[socket.socket, bytes], Connection]
"""Makes a Connection of an accepted socket and its client key."""

RequestHandler = Callable[[Connection], Response | None]
"""Takes the request of a connection: responds at once, or later by `respond`. Raises ConnectionClosed to close it."""


class Reactor:
    """All connections. `run` is the reactor's thread; any thread may call `respond`, `ping` and `stop`."""

    def __init__(
        self, sockets: Sequence[socket.socket], factory: ConnectionFactory, handler: RequestHandler, most: int
    ) -> None:
        """Listen on bound sockets; keep at most `most` connections, and half as many accepted sockets."""
        self._make_connection, self._handle_request, self._most = factory, handler, most
        self._listeners = {listener.fileno(): listener for listener in sockets}
        self._connections: dict[int, Connection] = {}
        self._by_client: dict[bytes, dict[int, Connection]] = {}
        self._writing: dict[int, Connection] = {}
        self._peak, self._trimmed_at = 0, -math.inf
        self._responses: deque[tuple[Connection, Response, bool]] = deque()
        self._next: deque[Connection] = deque()
        self._accepted = AcceptQueue(most // 2)
        self._opening = FairQueue[Connection](2 * most)
        self._check_at, self._resume_at = math.inf, math.inf
        self._stopping = False
        self._close_idle_at = math.inf
        self.responses = dict.fromkeys(REASONS, 0)
        self.dropped = 0
        self.iterated = threading.Event()
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._waker, select.EPOLLIN)
        for listener in sockets:
            listener.setblocking(False)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.listen(BACKLOG)
            self._epoll.register(listener, select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._connections)

    def count(self, status: int) -> None:
        """Count one response."""
        self.responses[status] += 1

    def respond(self, connection: Connection, response: Response, last: bool) -> None:
        """Send a response; `last` closes the connection afterwards."""
        self._responses.append((connection, response, last))
        self._wake()

    def ping(self) -> None:
        """Make the thread iterate once, which sets `iterated`."""
        self.iterated.clear()
        self._wake()

    def stop(self) -> None:
        """Close the listeners and idle connections; `run` returns after the last response.

        A connection without a request so far gets half a second for its first one.
        """
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # `run` has returned
            os.eventfd_write(self._waker, 1)

    def run(self) -> None:
        """Serve until `stop`, then close all sockets."""
        while not self._stopping or self._is_busy():
            self._iterate()
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()
        os.close(self._waker)
        for listener in self._listeners.values():
            listener.close()

    def _is_busy(self) -> bool:
        """Close idle connections; return whether any client still waits for a response."""
        if self._listeners:
            self._close_listeners()
            self._close_idle_at = time.monotonic() + _GRACE_SECONDS
            self._wake()
            self._iterate()  # requests received by now get a response
        is_late = self._close_idle_at <= time.monotonic()
        for connection in list(self._connections.values()):
            is_idle = connection.state not in (ConnectionState.WORKING, ConnectionState.WRITING)
            if is_idle and (is_late or not connection.is_new):
                self._close(connection)
        return bool(self._connections or self._accepted)

    def _close_listeners(self) -> None:
        for fd, listener in self._listeners.items():
            self._epoll.unregister(fd)
            listener.close()
        self._listeners = {}

    def _iterate(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout(), _EVENTS_EACH_TIME):
            if fd == self._waker:
                os.eventfd_read(self._waker)
                self.iterated.set()
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
            elif fd in self._connections:
                self._on_readable(self._connections[fd])
        for _ in range(len(self._responses)):
            connection, response, last = self._responses.popleft()
            self._advance(connection, partial(connection.respond, response, last or self._stopping))
        for _ in range(len(self._next)):
            connection = self._next.popleft()
            if self._has(connection):
                self._advance(connection)
        self._serve_accepted()
        self._shake_hands()
        now = time.monotonic()
        self._trim(now)
        self._expire(now)

    def _has(self, connection: Connection) -> bool:
        """Return whether the connection is still open."""
        return self._connections.get(connection.fd) is connection

    def _on_readable(self, connection: Connection) -> None:
        """Advance the connection, or queue its handshake."""
        if connection.state is not ConnectionState.OPENING:
            self._advance(connection)
            return
        evicted = self._opening.put(connection.client_key, connection)
        if evicted and self._has(evicted):
            self._close(evicted)

    def _serve_accepted(self) -> None:
        end = time.monotonic() + _SERVE_SECONDS
        while self._accepted:
            key, accepted = self._accepted.take()
            self._add(accepted, key)
            if time.monotonic() >= end:
                return

    def _shake_hands(self) -> None:
        """Continue the handshake of one connection: a signature takes 0.1 ms, with RSA 5 ms."""
        while len(self._opening):
            connection = self._opening.take()
            if connection and self._has(connection):
                self._advance(connection)
                return

    def _timeout(self) -> float | None:
        if self._next or self._responses or self._accepted or len(self._opening):
            return 0
        due = min(self._check_at, self._resume_at)
        if self._close_idle_at > time.monotonic():
            due = min(due, self._close_idle_at)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_EACH_TIME):
            try:
                connected, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._make_room(error)
                    return
                continue  # the client has closed the connection meanwhile
            self._drop_accepted(self._accepted.put(client_key(address[0]), connected))

    def _drop_accepted(self, accepted: socket.socket | None) -> bool:
        if accepted is None:
            return False
        self.dropped += 1
        accepted.close()
        return True

    def _add(self, connected: socket.socket, key: bytes) -> None:
        if len(self._connections) >= self._most:
            self._drop_one()
        connected.setblocking(False)
        try:
            connection = self._make_connection(connected, key)
        except OSError as error:
            LOG.warning("HTTP: cannot serve a connection: %s", error, exc_info=True, extra=REPEATABLE)
            connected.close()
            return
        self._connections[connection.fd] = connection
        self._by_client.setdefault(key, {})[connection.fd] = connection
        self._peak = max(self._peak, len(self._connections))
        if connection.state is ConnectionState.OPENING:
            self._arm(connection, select.EPOLLIN)
        else:
            self._advance(connection)

    def _make_room(self, error: OSError) -> None:
        """Close a connection, or pause accepting: new clients stay in the backlog."""
        LOG.warning("HTTP: cannot accept a connection: %s", error.strerror, exc_info=True, extra=REPEATABLE)
        if not self._drop_one() and not self._drop_accepted(self._accepted.evict()):
            for fd in self._listeners:
                self._epoll.modify(fd, 0)
            self._resume_at = time.monotonic() + _PAUSE

    def _drop_one(self) -> bool:
        """Close the oldest connection of the client with the most, except one whose response is being made."""
        for connections in sorted(self._by_client.values(), key=len, reverse=True):
            for connection in connections.values():
                if connection.state is not ConnectionState.WORKING:
                    self.dropped += 1
                    self._close(connection)
                    return True
        return False

    def _advance(self, connection: Connection, prepare: Callable[[], None] | None = None) -> None:
        """Continue a connection after `prepare`; close the connection at an error."""
        try:
            if prepare is not None:
                prepare()
            self._continue(connection)
        except ConnectionClosed as closed:
            if closed.__cause__:
                LOG.debug("HTTP: a connection broke: %s", closed.__cause__)
            self._close(connection)
        except Exception as error:  # the border around one connection: an error costs this connection only
            fault = f"{type(error).__name__}: {error}"
            LOG.error("HTTP: closed a connection: %s", fault, exc_info=True, extra=REPEATABLE)
            if self._has(connection):
                self._close(connection)

    def _continue(self, connection: Connection) -> None:
        """Continue a connection, hand over its request, and wait for its next event. Raises ConnectionClosed."""
        if connection.request is not None:
            return  # the connection broke; sending the response will fail and close it
        events = connection.advance()
        if connection.request is not None:
            response = self._handle_request(connection)
            if response is not None:
                connection.respond(response, self._stopping)
                self._next.append(connection)  # the other connections come first
            return
        self._arm(connection, events)
        self._writing.pop(connection.fd, None)
        if connection.state is ConnectionState.WRITING:
            self._writing[connection.fd] = connection
            self._bound_unsent()

    def _arm(self, connection: Connection, events: int) -> None:
        """Wait for events, once, and for the connection's deadline."""
        self._check_at = min(self._check_at, connection.deadline)
        if connection.armed:
            self._epoll.modify(connection.fd, events | select.EPOLLONESHOT)
        else:
            connection.armed = True
            self._epoll.register(connection.fd, events | select.EPOLLONESHOT)

    def _bound_unsent(self) -> None:
        while len(self._writing) > 1 and sum(each.unsent for each in self._writing.values()) > UNSENT_BYTES:
            self.dropped += 1
            self._close(next(iter(self._writing.values())))

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.fd]
        self._writing.pop(connection.fd, None)
        connections = self._by_client[connection.client_key]
        del connections[connection.fd]
        if not connections:
            del self._by_client[connection.client_key]
        connection.close()

    def _trim(self, now: float) -> None:
        """Return memory to the kernel after many connections; the allocator would keep 20 MB after many handshakes."""
        if self._peak >= _MANY and len(self._connections) <= _FEW and now >= self._trimmed_at + _TRIM_SECONDS:
            self._peak, self._trimmed_at = 0, now
            gc.collect()
            syscalls.trim_heap()

    def _expire(self, now: float) -> None:
        """Resume accepting after a pause, and end connections past their deadlines."""
        if self._resume_at <= now:
            self._resume_at = math.inf
            for fd in self._listeners:
                self._epoll.modify(fd, select.EPOLLIN)
        if self._check_at > now:
            return
        for connection in [each for each in self._connections.values() if each.deadline <= now]:
            self._advance(connection, connection.expire)
        self._check_at = min((each.deadline for each in self._connections.values()), default=math.inf)


def client_key(address: str) -> bytes:
    """Return the key of a client: the IPv4 address, or the IPv6 /64, where one host may have many addresses."""
    if ":" not in address:
        return socket.inet_aton(address)
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed[:8]
