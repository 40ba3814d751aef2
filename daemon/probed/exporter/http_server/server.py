# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: sockets that somebody else bound, an application that makes pages, and everything bounded.

The exporter's main starts, configures and stops one. `front` talks to clients in one thread; requests whose head is
whole wait in turns (`turns`) for one of a few threads that make pages. Passwords are verified in a thread of their own,
so that guessing keeps nobody from a page whose password is known. It knows nothing of pages.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from probed.exporter.exposition.family import Family
from probed.exporter.http_server.connection import TIMEOUT, Client, Gone
from probed.exporter.http_server.fair_queue import Turns
from probed.exporter.http_server.messages import Request, Response, text
from probed.exporter.http_server.policy import Open, Terms
from probed.exporter.http_server.reactor import Front
from probed.exporter.self_metrics import daemon as itself
from probed.log_limiter import Seldom
from probed.webconfig.settings import WebSettings

HANGS_AFTER = 3
"""Time-outs after which a page is not slow but stuck."""

THREADS = 2
"""That make pages: more would only compete for the interpreter lock, with the thread that talks to clients too."""

SWITCH_SECONDS = 0.0002
"""How soon who makes a page lets others go on: at every system call the thread that talks to clients gives
up the interpreter lock, and would wait 5 ms, Python's default, to have it back."""

MAX_REQUESTS = 40
"""Requests that may be answered or wait for it; more get 503. node_exporter's default too."""

GUESSES = 16
"""Passwords that may wait to be verified, of those whose outcome is not known; more get 503."""

CONNECTIONS = 512
RESERVED_FDS = 256
"""Descriptors that are not for clients: rings, maps and what else the exporter opens."""

Application = Callable[[Request], Response]

_OVERLOADED = text(503, "too many requests; try again later", ("Retry-After", "1"))


class Server:
    """Serves an application on `sockets`: bound TCP sockets, at least one, which it closes when it stops.

    Threads come with `start`: drop privileges before it.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        application: Application,
        max_requests: int = MAX_REQUESTS,
        timeout: float = TIMEOUT,
    ) -> None:
        self._application, self._timeout = application, timeout
        self._terms: Terms = Open()
        self._threads = min(THREADS, max_requests)
        self._requests = Turns[Client](max_requests - self._threads)
        self._guesses = Turns[Client](GUESSES)
        self._front = Front(sockets, self._welcome, self._take, most_connections())
        self._seldom = Seldom(logging.getLogger("exporter"))
        self._running: list[threading.Thread] = []
        self._busy_since: dict[int, float] = {}

    def configure(self, settings: WebSettings) -> None:
        """Serve on these terms from now on; connections that are there end with their next answer.

        Raises tls.TlsError, and then nothing has changed.
        """
        from probed.exporter.http_server.secured_policy import Guarded

        self._terms = Guarded(settings)

    def families(self) -> list[Family]:
        """Return what there is to tell of requests and clients."""
        return itself.http(dict(self._front.responses), len(self._front), self._front.dropped)

    def start(self) -> None:
        """Serve from now on, in threads of their own. Raises RuntimeError when there can be no thread."""
        sys.setswitchinterval(SWITCH_SECONDS)
        for number in range(self._threads):
            self._run(f"http-page-{number}", self._make_pages)
        self._run("http-password", self._verify_passwords)
        self._run("http", self._front.run)

    def ping(self) -> None:
        """Make the thread that talks to clients turn once; `responded` tells whether it did."""
        self._front.poke()

    def responded(self) -> bool:
        """Say whether it has turned since it was poked, and no page takes far longer than a request may."""
        since = list(self._busy_since.values())
        hangs = bool(since) and time.monotonic() - min(since) > HANGS_AFTER * self._timeout
        return self._front.turned.is_set() and not hangs

    def _run(self, name: str, target: Callable[[], None]) -> None:
        # Daemon threads: a stuck one must not keep the process alive.
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._running.append(thread)

    def stop(self, timeout: float = TIMEOUT) -> None:
        """Accept nothing more, let requests that are being answered finish, close the sockets.

        Returns after `timeout` seconds at most, whether that is done or not. Who connects from now on waits in the
        sockets' queues: somebody else may still have them open, to serve on them next.
        """
        if not self._running:
            return
        *others, front = self._running
        self._front.stop()
        front.join(timeout)
        self._requests.close()
        self._guesses.close()
        if front.is_alive():
            logging.getLogger("exporter").warning("an HTTP request is still not answered after %g s", timeout)
            return
        for thread in others:
            thread.join(timeout)
        self._running = []

    # In the front's thread.

    def _welcome(self, connected: socket.socket, whom: bytes) -> Client:
        terms = self._terms
        transport = terms.transport(connected)
        return Client(transport, whom, terms, self._front.count, self._timeout)

    def _take(self, client: Client) -> Response | None:
        """Refuse a request, or let it wait for its page or for its password."""
        assert client.request is not None
        known = self._terms.look(client.request)
        if isinstance(known, Response):
            return known
        if len(self._requests) > self._threads and client.has_hung_up():
            raise Gone  # it may have closed its half alone and still want its answer, but others certainly do
        loser = (self._requests if known else self._guesses).put(client.whom, client)
        if loser is None:
            return None
        if loser is client:
            return _OVERLOADED
        self._answer(loser, _OVERLOADED)
        return None

    # In the other threads.

    def _make_pages(self) -> None:
        while (client := self._requests.take()) is not None:
            assert client.request is not None
            thread = threading.get_ident()
            self._busy_since[thread] = time.monotonic()
            self._answer(client, self._page(client.request))
            del self._busy_since[thread]

    def _page(self, request: Request) -> Response:
        try:
            return self._application(request)
        except Exception as error:  # the border around one request: whatever is wrong costs only this one
            self._seldom.log(logging.ERROR, f"HTTP: cannot answer a request: {type(error).__name__}: {error}")
            return text(500, "cannot answer this request; the log says why")

    def _verify_passwords(self) -> None:
        while (client := self._guesses.take()) is not None:
            assert client.request is not None
            refusal = self._terms.verify(client.request)
            if refusal is None:
                loser = self._requests.put(client.whom, client)
                if loser is not None:
                    self._answer(loser, _OVERLOADED)
            else:
                self._answer(client, refusal)

    def _answer(self, client: Client, response: Response) -> None:
        self._front.answered(client, response, client.terms is not self._terms)


def most_connections() -> int:
    """Return how many clients there may be at a time, as this process's limit of descriptors allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS, soft - RESERVED_FDS))
