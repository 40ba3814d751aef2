# SPDX-License-Identifier: Apache-2.0
"""One client: what came from it, what it is still to get, and how long it may take. Nothing here ever waits.

`front` owns all clients and calls `advance` when one of them can go on. HTTP/1.1 is h11's business: it parses, and says
what may be sent when; TLS is that of the transport (`encrypted`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

import h11

from probed.exporter.http_server.messages import REASONS, Connection, Request, Response, text
from probed.exporter.http_server.policy import Terms
from probed.exporter.http_server.transport import CHUNK, Transport, Wait

HEADER_BYTES = 16 << 10
"""No request whose head is longer is read to its end."""

BODY_BYTES = 1 << 10
"""No page wants a body; that of a reload is nobody's business."""

TIMEOUT = 10.0
"""Seconds for a request, from its first byte to its last, for its answer, and for a handshake and the first request."""

IDLE = 90.0
"""Seconds that a client may keep a connection without a request: more than the usual interval of scrapes."""

LEAVE = 2.0
"""Seconds to take what a client still sends: closing with input unread would reset the connection, answer and all."""

_LEFTOVER = 1 << 20


class Gone(Exception):
    """The connection is over."""


class State(Enum):
    """Where a client stands."""

    OPENING = "opening"
    READING = "reading"
    WORKING = "working"
    WRITING = "writing"
    LEAVING = "leaving"


class Client:
    """One connection from its first byte to its last; `whom` it belongs to is its address."""

    def __init__(
        self,
        transport: Transport,
        whom: bytes,
        terms: Terms,
        answered: Callable[[int], None],
        timeout: float = TIMEOUT,
    ) -> None:
        """Begin with a connection just accepted; `answered` is called with the status of each answer."""
        self._answered = answered
        self.fd = transport.fileno()
        self.whom = whom
        self.terms = terms
        self.state = State.OPENING if transport.shakes_hands else State.READING
        self.request: Request | None = None
        self._connection = Connection()
        self.is_new = True
        """Whether it has had no answer yet."""
        self.armed = False
        self._transport = transport
        self._timeout = timeout
        self.deadline = time.monotonic() + timeout
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES - CHUNK)
        self._head: h11.Request | None = None
        self._body = 0
        self._begun = False
        self._unsent: list[memoryview] = []
        self._leftover = _LEFTOVER

    @property
    def unsent(self) -> int:
        """How many bytes of an answer wait for the client to take them."""
        return sum(map(len, self._unsent))

    def advance(self) -> int:
        """Go on as far as that is possible without waiting.

        Return the epoll events to wait for, or 0 when there is a `request` to answer. Raises Gone.
        """
        try:
            while self.state is not State.WORKING:
                self._step()
        except Wait as wait:
            return wait.events
        except (OSError, h11.ProtocolError) as error:
            raise Gone from error
        return 0

    def has_hung_up(self) -> bool:
        """Say whether nothing more will come from it; it may have closed its connection, or only its half of it."""
        return self._transport.has_ended()

    def _step(self) -> None:
        match self.state:
            case State.OPENING:
                self._transport.handshake()
                self.state = State.READING
            case State.READING:
                self._read()
            case State.WRITING:
                self._write()
            case _:
                data = self._transport.receive()
                self._leftover -= len(data)
                if not data or self._leftover < 0:
                    raise Gone

    def _read(self) -> None:
        try:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._receive()
            else:
                self._take(event)
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            self.answer(text(status if status in REASONS else 400, f"cannot read the request: {error}"), last=True)

    def _receive(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self.answer(text(417, "no request here needs a body: send none"), last=True)
            return
        data = self._transport.receive()
        if data and not self._begun:
            self._begun = True
            self.deadline = min(self.deadline, time.monotonic() + self._timeout)
        self._http.receive_data(data)

    def _take(self, event: Any) -> None:
        match event:
            case h11.Request(http_version=version):
                self._head, self._body = event, 0
                if version not in (b"1.0", b"1.1"):
                    self.answer(text(505, "this server speaks HTTP/1.1"), last=True)
            case h11.Data():
                self._body += len(event.data)
                if self._body > BODY_BYTES:
                    self.answer(
                        text(413, f"no request here needs a body, let alone one above {BODY_BYTES} bytes"), last=True
                    )
            case h11.EndOfMessage():
                self._requested()
            case _:
                raise Gone

    def _requested(self) -> None:
        assert self._head is not None
        target = self._head.target.decode("latin-1")
        if not target.startswith("/") and target != "*":
            self.answer(text(400, "expected a path that starts with '/'"), last=True)
            return
        path, _, query = target.partition("?")
        headers: dict[str, str] = {}
        for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._head.headers):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        method = self._head.method.decode("latin-1")
        self.request = Request(method, unquote_to_bytes(path).decode("latin-1"), query, headers, self._connection)
        self.state = State.WORKING
        self.deadline = math.inf

    def answer(self, response: Response, last: bool = False) -> None:
        """Answer the request, which `advance` will send; `last` ends the connection after it."""
        everything = {
            "Server": "probed",
            "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
            "X-Content-Type-Options": "nosniff",
            **dict(response.headers),
            **self.terms.headers,
            **({"Connection": "close"} if last else {}),
        }
        head = h11.Response(
            status_code=response.status, headers=list(everything.items()), reason=REASONS[response.status]
        )
        parts = [self._http.send(head)]
        if self._head is None or self._head.method != b"HEAD":
            parts.append(self._http.send(h11.Data(data=response.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        # One piece: two would go out as two segments.
        self._unsent = [memoryview(b"".join(part for part in parts if part))]
        self.request, self.is_new = None, False
        self._answered(response.status)
        self.state = State.WRITING
        self.deadline = time.monotonic() + self._timeout

    def _write(self) -> None:
        while self._unsent:
            sent = self._transport.send(self._unsent[0])
            self._unsent[0] = self._unsent[0][sent:]
            if not self._unsent[0]:
                self._unsent.pop()
        if h11.MUST_CLOSE in (self._http.our_state, self._http.their_state) or self._http.their_state is h11.ERROR:
            self._leave()
        else:
            self._http.start_next_cycle()
            self._head, self._begun = None, bool(self._http.trailing_data[0])
            self.state = State.READING
            self.deadline = time.monotonic() + (self._timeout if self._begun else max(IDLE, self._timeout))

    def _leave(self) -> None:
        self._connection.is_open = False
        with suppress(Wait):
            self._transport.end()
        self.state = State.LEAVING
        self.deadline = time.monotonic() + min(LEAVE, self._timeout)

    def expire(self) -> None:
        """Give up on a client past its deadline: 408 where a request had begun. Raises Gone."""
        if self.state is not State.READING or not self._begun or self._http.our_state is not h11.IDLE:
            raise Gone
        self.answer(text(408, "the request took too long"), last=True)

    def close(self) -> None:
        """Close the socket."""
        self._connection.is_open = False
        with suppress(OSError):
            self._transport.close()
