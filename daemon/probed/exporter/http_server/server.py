# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: bound sockets, a responder that makes the pages, and limits on everything.

The exporter's main creates, configures, starts and stops the server. The `reactor` reads and writes all connections in
one thread. Complete requests wait in a `fair_queue` for one of a few page threads. Another thread verifies passwords,
so password guessing delays no client with a known password. The server knows nothing of pages.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from probed.exporter.http_server.connection import TIMEOUT, Connection, ConnectionClosed
from probed.exporter.http_server.fair_queue import FairQueue
from probed.exporter.http_server.messages import Request, Response, text
from probed.exporter.http_server.policy import AccessPolicy, OpenPolicy
from probed.exporter.http_server.reactor import Reactor
from probed.frozen import frozen
from probed.log_limiter import REPEATABLE
from probed.webconfig.options import WebOptions
from probed.webconfig.settings import WebSettings

LOG = logging.getLogger("exporter")

STUCK_AFTER = 3
"""Time-outs after which a page counts as stuck instead of slow."""

THREADS = 2
"""Page threads: more would only compete for the interpreter lock, also with the reactor."""

SWITCH_SECONDS = 0.0002
"""Longest time that a page thread holds the interpreter lock. The reactor gives the lock up at each system call;
with Python's default, it would wait 5 ms to get the lock back."""

GUESSES = 16
"""Most requests that wait for `verify_password`; further ones get 503."""

CONNECTIONS = 512
RESERVED_FDS = 256
"""Descriptors for rings, maps and other files of the exporter."""

Responder = Callable[[Request], Response]
"""Makes the response to one request; page threads call it concurrently."""

T = TypeVar("T")

_DEFAULTS = WebOptions()
_OVERLOADED = text(503, "too many requests; try again later", ("Retry-After", "1"))


@frozen
class ServerStats:
    """Counts of the server: responses by status, connections now, connections closed for lack of room.

    The counts began at 0 at `begun`, in seconds since the epoch (0: unknown).
    """

    responses: Mapping[int, int]
    connections: int
    dropped: int
    begun: float = 0.0


class Server:
    """Serves a responder on `sockets`: at least one bound TCP socket, closed by `stop`.

    `start` creates the threads, so drop privileges before.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        responder: Responder,
        options: WebOptions = _DEFAULTS,
        timeout: float = TIMEOUT,
    ) -> None:
        self._responder, self._timeout = responder, timeout
        self._policy: AccessPolicy = OpenPolicy()
        self._page_threads = min(THREADS, options.max_requests)
        self._requests = FairQueue[Connection](options.max_requests - self._page_threads)
        self._guesses = FairQueue[Connection](GUESSES)
        self._reactor = Reactor(sockets, self._make_connection, self._handle_request, most_connections())
        self._threads: list[threading.Thread] = []
        self._busy_since: dict[int, float] = {}
        self._begun = time.time()

    def configure(self, settings: WebSettings) -> None:
        """Apply a web configuration to new connections; existing ones close after their next response.

        Raises tls.TlsError, and then changes nothing.
        """
        from probed.exporter.http_server.secured_policy import SecuredPolicy

        self._policy = SecuredPolicy(settings)

    def stats(self) -> ServerStats:
        """Return the server's counts of this moment."""
        return ServerStats(dict(self._reactor.responses), len(self._reactor), self._reactor.dropped, self._begun)

    def start(self) -> None:
        """Start the threads. Raises RuntimeError when the process can have no more threads."""
        sys.setswitchinterval(SWITCH_SECONDS)
        for number in range(self._page_threads):
            self._run(f"http-page-{number}", self._make_pages)
        self._run("http-password", self._verify_passwords)
        self._run("http", self._reactor.run)

    def ping(self) -> None:
        """Make the reactor iterate once; `responded` tells whether it did."""
        self._reactor.ping()

    def responded(self) -> bool:
        """Return whether the reactor has iterated since `ping`, all threads are alive, and no page is stuck."""
        since = list(self._busy_since.values())
        is_stuck = bool(since) and time.monotonic() - min(since) > STUCK_AFTER * self._timeout
        return self._reactor.iterated.is_set() and not is_stuck and all(thread.is_alive() for thread in self._threads)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        # Daemon threads: a stuck thread must not keep the process alive.
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self, timeout: float = TIMEOUT) -> None:
        """Close the listeners, finish the requests in progress, close all sockets; return within `timeout` seconds.

        The supervisor keeps the listening sockets open, so new clients wait in the backlog for the next exporter.
        """
        if not self._threads:
            return
        *others, reactor = self._threads
        self._reactor.stop()
        reactor.join(timeout)
        self._requests.close()
        self._guesses.close()
        if reactor.is_alive():
            logging.getLogger("exporter").warning("an HTTP request is still not answered after %g s", timeout)
            return
        for thread in others:
            thread.join(timeout)
        self._threads = []

    # In the reactor's thread.

    def _make_connection(self, connected: socket.socket, client_key: bytes) -> Connection:
        policy = self._policy
        transport = policy.transport(connected)
        return Connection(transport, client_key, policy, self._reactor.count, self._timeout)

    def _handle_request(self, connection: Connection) -> Response | None:
        """Refuse a request, or queue it for a page thread or the password thread."""
        assert connection.request is not None
        known = self._policy.check_cached(connection.request)
        if isinstance(known, Response):
            return known
        if len(self._requests) > self._page_threads and connection.has_hung_up():
            raise ConnectionClosed  # a half-closed client may still read, but the other clients certainly do
        evicted = (self._requests if known else self._guesses).put(connection.client_key, connection)
        if evicted is None:
            return None
        if evicted is connection:
            return _OVERLOADED
        self._respond(evicted, _OVERLOADED)
        return None

    # In the other threads.

    def _make_pages(self) -> None:
        while (connection := self._requests.take()) is not None:
            assert connection.request is not None
            thread = threading.get_ident()
            self._busy_since[thread] = time.monotonic()
            self._respond(connection, self._result(partial(self._responder, connection.request)))
            del self._busy_since[thread]

    def _result(self, make: Callable[[], T]) -> T | Response:
        try:
            return make()
        except Exception as error:  # the border around one request: an error costs this request only
            fault = f"{type(error).__name__}: {error}"
            LOG.error("HTTP: cannot answer a request: %s", fault, exc_info=True, extra=REPEATABLE)
            return text(500, "cannot answer this request; the log says why")

    def _verify_passwords(self) -> None:
        while (connection := self._guesses.take()) is not None:
            assert connection.request is not None
            refusal = self._result(partial(self._policy.verify_password, connection.request))
            if refusal is None:
                evicted = self._requests.put(connection.client_key, connection)
                if evicted is not None:
                    self._respond(evicted, _OVERLOADED)
            else:
                self._respond(connection, refusal)

    def _respond(self, connection: Connection, response: Response) -> None:
        self._reactor.respond(connection, response, connection.policy is not self._policy)


def most_connections() -> int:
    """Return the limit of connections, from this process's limit of descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS, (soft - RESERVED_FDS) * 2 // 3))  # a third for accepted sockets
