# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: cheroot on sockets that somebody else bound, with everything bounded.

The exporter's main starts and stops one. Bounded are threads, waiting requests (more get 503), the size of
a request, and the time that one may take in all, however slowly it trickles. It knows nothing of pages:
those are the WSGI application's.

It leans on what cheroot 9.0 and 11.1 have in common: `prepare` sets `socket`, `_connections`, `requests` and
`ready`; the socket's `fileno`, `accept`, `getsockname` and `close` are all that is called.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from cheroot import connections, wsgi
from cheroot.server import HTTPConnection

from probed.exporter.seldom import Seldom

THREADS = 4
QUEUE = 16
"""Connections that may wait for a thread."""

TIMEOUT = 10
"""Seconds that a request may take, first byte to last of the answer, and that an idle client is kept."""

HANGS_AFTER = 3
"""Time-outs after which a request is not slow but stuck."""

IDLE_WAKE = 30.0
"""Seconds between looks at idle clients: the only thing that an idle server does."""

HEADER_BYTES = 16 << 10
BODY_BYTES = 1 << 10

_BACKLOG = 64
_ACCEPT_PAUSE = 0.5
_OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_OVERLOADED = b"""HTTP/1.1 503 Service Unavailable\r
Server: probed\r
Content-Type: text/plain; charset=utf-8\r
Content-Length: 35\r
Retry-After: 1\r
Connection: close\r
\r
too many requests; try again later
"""

WSGIApplication = Callable[..., Iterable[bytes]]


class Server:
    """Serves a WSGI application on `sockets`: bound TCP sockets, at least one, which it closes when it stops.

    Threads come with `start`: drop privileges before it.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        application: WSGIApplication,
        threads: int = THREADS,
        timeout: float = TIMEOUT,
    ) -> None:
        listeners = _Listeners(sockets, timeout)
        self._listeners = listeners
        self._cheroot = _Cheroot(listeners, sockets[0].getsockname()[:2], application, threads, timeout)

    def start(self) -> None:
        """Serve from now on, in threads of their own. Raises RuntimeError when there can be no thread."""
        started: SimpleQueue[Exception | None] = SimpleQueue()
        # Daemon threads, and so are the workers that they start: a stuck one must not keep the process alive.
        threading.Thread(target=self._serve, args=(started,), name="http", daemon=True).start()
        error = started.get()
        if error:
            raise error

    def stop(self, timeout: float = TIMEOUT) -> None:
        """Accept nothing more, let requests that are being answered finish, close the sockets.

        Returns after `timeout` seconds at most, whether that is done or not. Who connects from now on waits in the
        sockets' queues: somebody else may still have them open, to serve on them next.
        """
        deadline = time.monotonic() + timeout
        if self._cheroot.ready:
            self._listeners.pause(timeout)
            self._cheroot.wait_until_answered(deadline - time.monotonic())
        stopping = threading.Thread(target=self._cheroot.stop, name="http-stop", daemon=True)
        stopping.start()
        stopping.join(max(0.0, deadline - time.monotonic()))
        if stopping.is_alive():
            logging.getLogger("exporter").warning("an HTTP request is still not answered after %g s", timeout)

    def poke(self) -> None:
        """Make the thread that accepts clients turn once; `moved` tells whether it did."""
        self._listeners.poke()

    def moved(self) -> bool:
        """Say whether it has turned since it was poked, and no request takes far longer than one may."""
        return self._listeners.turned.is_set() and not self._cheroot.hangs()

    def _serve(self, started: SimpleQueue[Exception | None]) -> None:
        try:
            self._cheroot.prepare()
        except Exception as error:  # handed to the caller of start, whose error it is
            started.put(error)
            return
        started.put(None)
        self._cheroot.serve()


class _Stream(socket.socket):
    """A client's socket with a deadline for all its reads and writes together (`time.monotonic`)."""

    deadline = 0.0

    def recv_into(self, *args: Any) -> int:
        self._hurry()
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self._hurry()
        return super().send(*args)

    def _hurry(self) -> None:
        # Not 0, which would mean "do not block" and raise another error than the one cheroot knows.
        self.settimeout(max(self.deadline - time.monotonic(), 0.001))


class _Listeners:
    """Several listening sockets that look like one to cheroot: an epoll descriptor polls like a socket."""

    def __init__(self, sockets: Sequence[socket.socket], timeout: float) -> None:
        self._timeout = timeout
        self._sockets = {listener.fileno(): listener for listener in sockets}
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poke = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.turned = threading.Event()
        self._epoll = select.epoll()
        self._epoll.register(self._waker, select.EPOLLIN)
        self._epoll.register(self._poke, select.EPOLLIN)
        for listener in sockets:
            listener.setblocking(False)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Clients that connect and say nothing wait in the kernel, not in one of our few threads.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, math.ceil(timeout))
            listener.listen(_BACKLOG)
            self._epoll.register(listener, select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def accept(self) -> tuple[_Stream, Any]:
        ready = [fd for fd, _ in self._epoll.poll(0)]
        if self._poke in ready:
            os.eventfd_read(self._poke)
            self.turned.set()
            ready = []  # clients have their turn right after
        for fd in ready:
            if fd in self._sockets:
                return self._accept(self._sockets[fd])
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _accept(self, listener: socket.socket) -> tuple[_Stream, Any]:
        try:
            plain, address = listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_ROOM:
                time.sleep(_ACCEPT_PAUSE)  # the client stays in the backlog: trying at once would only spin
            raise
        stream = _Stream(plain.family, plain.type, plain.proto, fileno=plain.detach())
        stream.deadline = time.monotonic() + self._timeout
        return stream, address

    def getsockname(self) -> tuple[str, int]:
        # cheroot asks when it stops, to wake its thread by connecting to itself. `wake` has done that: EBADF
        # tells it not to.
        raise OSError(errno.EBADF, "several sockets have no one name")

    def pause(self, timeout: float) -> None:
        """Accept nobody any more; who was accepted before has been handed on when this returns."""
        for listener in self._sockets.values():
            self._epoll.unregister(listener)
        self.poke()
        self.turned.wait(timeout)

    def wake(self) -> None:
        """Make the epoll descriptor readable for good, so that cheroot's thread sees that it is to stop."""
        os.eventfd_write(self._waker, 1)

    def poke(self) -> None:
        self.turned.clear()
        os.eventfd_write(self._poke, 1)

    def close(self) -> None:
        self._epoll.close()
        os.close(self._waker)
        os.close(self._poke)
        for listener in self._sockets.values():
            listener.close()


class _Connection(HTTPConnection):
    """A client. No error in talking to one may leave here: in cheroot 9 it would end the worker thread."""

    def communicate(self) -> bool:
        if not self.server.ready:
            return False
        self.socket.deadline = time.monotonic() + self.server.timeout
        communicate: Callable[[], Any] = super().communicate
        thread = threading.get_ident()
        self.server.busy_since[thread] = time.monotonic()
        try:
            return bool(communicate())
        except Exception as error:  # errors while cheroot reports errors, which it lets pass
            self.server.error_log(f"cannot answer a request: {error!r}", logging.DEBUG)
            return False
        finally:
            del self.server.busy_since[thread]
            self.server.answered(self)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self.server.error_log(f"cannot close a connection in order: {error!r}", logging.DEBUG)
            self.socket.close()

    def refuse(self) -> None:
        """Answer 503 without waiting for anything, and close."""
        with suppress(OSError):  # a client that is gone or takes no answer is refused all the same
            self.socket.send(_OVERLOADED, socket.MSG_DONTWAIT)
            # Closing with input unread would reset the connection, and the answer might be lost.
            self.socket.recv(HEADER_BYTES, socket.MSG_DONTWAIT)
        self.close()


class _Cheroot(wsgi.Server):
    """cheroot's server on `listeners`, with limits, and with `logging` instead of standard error."""

    ConnectionClass = _Connection
    expiration_interval = IDLE_WAKE
    max_request_header_size = HEADER_BYTES
    max_request_body_size = BODY_BYTES

    def __init__(
        self,
        listeners: _Listeners,
        address: tuple[str, int],
        application: WSGIApplication,
        threads: int,
        timeout: float,
    ) -> None:
        super().__init__(address, application, threads, server_name="probed", max=threads)
        self.timeout = timeout
        self._listeners = listeners
        self.busy_since: dict[int, float] = {}
        self._unanswered = set[_Connection]()
        self._changed = threading.Condition()
        self._seldom = Seldom(logging.getLogger("exporter"))

    def hangs(self) -> bool:
        """Say whether a thread has been at one request for far longer than the time-out allows."""
        since = list(self.busy_since.values())
        return bool(since) and time.monotonic() - min(since) > HANGS_AFTER * self.timeout

    def prepare(self) -> None:
        """Take the listeners, where the original would bind (or, given LISTEN_PID, take descriptor 3)."""
        self.socket = self._listeners
        self._connections = connections.ConnectionManager(self)
        self.requests.start()
        self.ready = True

    def process_conn(self, conn: Any) -> None:
        """Queue a connection with a request, unless too many wait: the original blocks, or hangs up."""
        if self.requests.qsize < QUEUE:
            with self._changed:
                self._unanswered.add(conn)
            self.requests.put(conn)
        else:
            conn.refuse()

    def answered(self, conn: _Connection) -> None:
        """Note that nobody waits on this connection any more."""
        with self._changed:
            self._unanswered.discard(conn)
            self._changed.notify_all()

    def wait_until_answered(self, timeout: float) -> None:
        """Return when no request waits or is being answered, or at the time-out."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unanswered, timeout)

    def put_conn(self, conn: Any) -> None:
        """Keep a connection for its next request."""
        try:
            super().put_conn(conn)
        except (OSError, ValueError, KeyError) as error:  # the client is gone, or we are stopping
            self.error_log(f"cannot keep a connection: {error!r}", logging.DEBUG)
            conn.close()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what cheroot finds wrong, with its cause."""
        error = sys.exc_info()[1]
        self._seldom.log(level, f"HTTP: {msg}: {error}" if traceback and error else f"HTTP: {msg}")

    def stop(self) -> None:
        """Stop, without cheroot's wait for the next look at idle clients."""
        if self.ready:
            self._listeners.wake()
        super().stop()
