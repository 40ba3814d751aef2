# SPDX-License-Identifier: Apache-2.0
"""One client connection: parses requests, sends responses, keeps deadlines. Nothing here blocks.

`reactor` owns all connections and calls `advance` when one of them can continue. h11 parses HTTP/1.1 and says when the
server may send; the transport does TLS (`tls_transport`).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

import h11

from probed.exporter.http_server.messages import REASONS, Peer, Request, Response, text
from probed.exporter.http_server.policy import AccessPolicy
from probed.exporter.http_server.transport import CHUNK, Transport, WouldBlock

HEADER_BYTES = 16 << 10
"""Most bytes in the head of a request; a longer one gets 431."""

BODY_BYTES = 1 << 10
"""Most bytes in the body of a request; no page uses a body."""

TIMEOUT = 10.0
"""Seconds for a request from first to last byte, for its response, and for a handshake with the first request."""

IDLE = 90.0
"""Seconds that a connection may stay idle: more than the usual scrape interval."""

LEAVE = 2.0
"""Seconds to read further input before the close: unread input would reset the connection and lose the response."""

_LEFTOVER = 1 << 20

_EMPTY_LINES_BYTES = 8
"""Most bytes of empty lines before a request line; RFC 9112 section 2.2 asks a server to ignore at least one line."""

_ABSOLUTE_FORM = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]+)(?::[0-9]*)?([/?].*)?", re.IGNORECASE)
"""A request target with scheme and host, as a client sends to a proxy. Source: RFC 9112 section 3.2.2."""


class ConnectionClosed(Exception):
    """The client or the server has ended the connection."""


class ConnectionState(Enum):
    """Phase of a connection."""

    OPENING = "opening"
    READING = "reading"
    WORKING = "working"
    WRITING = "writing"
    LEAVING = "leaving"


class Connection:
    """One connection from its first byte to its last; `client_key` identifies its client."""

    def __init__(
        self,
        transport: Transport,
        client_key: bytes,
        policy: AccessPolicy,
        responded: Callable[[int], None],
        timeout: float = TIMEOUT,
    ) -> None:
        """Start with an accepted connection; the connection calls `responded` with the status of each response."""
        self._responded = responded
        self.fd = transport.fileno()
        self.client_key = client_key
        self.policy = policy
        self.state = ConnectionState.OPENING if transport.shakes_hands else ConnectionState.READING
        self.request: Request | None = None
        self._peer = Peer()
        self.is_new = True
        """Whether the client has had no response yet."""
        self.armed = False
        self._transport = transport
        self._timeout = timeout
        self.deadline = time.monotonic() + timeout
        self._http = _parser()
        self._head: h11.Request | None = None
        self._body = 0
        self._begun = False
        self._empty_lines_bytes = 0
        self._unsent: list[memoryview] = []
        self._leftover = _LEFTOVER

    @property
    def unsent(self) -> int:
        """Bytes of the response that the client has not received yet."""
        return sum(map(len, self._unsent))

    def advance(self) -> int:
        """Continue as far as possible without blocking.

        Return the epoll events to wait for, or 0 when there is a `request` to answer. Raises ConnectionClosed.
        """
        try:
            while self.state is not ConnectionState.WORKING:
                self._step()
        except WouldBlock as blocked:
            return blocked.events
        except (OSError, h11.ProtocolError) as error:
            raise ConnectionClosed from error
        return 0

    def has_hung_up(self) -> bool:
        """Return whether the client has closed the connection, or at least its sending half."""
        return self._transport.has_ended()

    def _step(self) -> None:
        match self.state:
            case ConnectionState.OPENING:
                self._transport.handshake()
                self.state = ConnectionState.READING
            case ConnectionState.READING:
                self._read()
            case ConnectionState.WRITING:
                self._write()
            case _:
                data = self._transport.receive()
                self._leftover -= len(data)
                if not data or self._leftover < 0:
                    raise ConnectionClosed

    def _read(self) -> None:
        try:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._receive()
            else:
                self._take(event)
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            self.respond(text(status if status in REASONS else 400, f"cannot read the request: {error}"), last=True)

    def _receive(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self.respond(text(417, "no request here needs a body: send none"), last=True)
            return
        data = self._transport.receive()
        if data and not self._begun:
            data = self._without_empty_lines(data)
            if not data:
                return
            self._begun = True
            self.deadline = min(self.deadline, time.monotonic() + self._timeout)
        self._http.receive_data(data)

    def _without_empty_lines(self, data: bytes) -> bytes:
        """Remove empty lines before the request line; too many are left in, and h11 refuses them."""
        request = data.lstrip(b"\r\n")
        self._empty_lines_bytes += len(data) - len(request)
        return request if self._empty_lines_bytes <= _EMPTY_LINES_BYTES else data

    def _take(self, event: Any) -> None:
        match event:
            case h11.Request(http_version=version):
                self._head, self._body = event, 0
                if version not in (b"1.0", b"1.1"):
                    self.respond(text(505, "this server speaks HTTP/1.1"), last=True)
            case h11.Data():
                self._body += len(event.data)
                if self._body > BODY_BYTES:
                    self.respond(
                        text(413, f"no request here needs a body, let alone one above {BODY_BYTES} bytes"), last=True
                    )
            case h11.EndOfMessage():
                self._requested()
            case _:
                raise ConnectionClosed

    def _requested(self) -> None:
        assert self._head is not None
        target = _origin_form(self._head.target.decode("latin-1"))
        if target is None:
            self.respond(text(400, "expected a path that starts with '/', or an http URL"), last=True)
            return
        path, _, query = target.partition("?")
        headers: dict[str, str] = {}
        for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._head.headers):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        method = self._head.method.decode("latin-1")
        self.request = Request(method, unquote_to_bytes(path).decode("latin-1"), query, headers, self._peer)
        self.state = ConnectionState.WORKING
        self.deadline = math.inf

    def respond(self, response: Response, last: bool = False) -> None:
        """Prepare the response for `advance` to send; `last` closes the connection afterwards."""
        everything = {
            "Server": "probed",
            "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
            "X-Content-Type-Options": "nosniff",
            **dict(response.headers),
            **self.policy.headers,
            **({"Connection": "close"} if last else {}),
        }
        head = h11.Response(
            status_code=response.status, headers=list(everything.items()), reason=REASONS[response.status]
        )
        parts = [self._http.send(head)]
        if self._head is None or self._head.method != b"HEAD":
            parts.append(self._http.send(h11.Data(data=response.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        # One buffer: two would go out as two segments.
        self._unsent = [memoryview(b"".join(part for part in parts if part))]
        self.request, self.is_new = None, False
        self._responded(response.status)
        self.state = ConnectionState.WRITING
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
            self._next_request()
            self.state = ConnectionState.READING
            self.deadline = time.monotonic() + (self._timeout if self._begun else max(IDLE, self._timeout))

    def _next_request(self) -> None:
        """Prepare for the next request, which may be there already, behind empty lines."""
        received, has_ended = self._http.trailing_data
        self._http.start_next_cycle()
        request = received.lstrip(b"\r\n")
        if len(request) < len(received):
            self._http = _parser()
            if request:
                self._http.receive_data(request)
            if has_ended:
                self._http.receive_data(b"")
        self._head, self._begun, self._empty_lines_bytes = None, bool(request), 0

    def _leave(self) -> None:
        self._peer.is_open = False
        with suppress(WouldBlock):
            self._transport.end()
        self.state = ConnectionState.LEAVING
        self.deadline = time.monotonic() + min(LEAVE, self._timeout)

    def expire(self) -> None:
        """End a connection past its deadline: 408 when a request had begun. Raises ConnectionClosed."""
        if self.state is not ConnectionState.READING or not self._begun or self._http.our_state is not h11.IDLE:
            raise ConnectionClosed
        self.respond(text(408, "the request took too long"), last=True)

    def close(self) -> None:
        """Close the socket."""
        self._peer.is_open = False
        with suppress(OSError):
            self._transport.close()


def _parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES - CHUNK)


def _origin_form(target: str) -> str | None:
    """Return path and query of a request target; None unless the target is a path, `*` or an http URL."""
    if target.startswith("/") or target == "*":
        return target
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        return None
    rest = absolute[1] or "/"
    return rest if rest.startswith("/") else f"/{rest}"
