# SPDX-License-Identifier: Apache-2.0
"""Requests and responses: `connection` parses and sends, `pages` responds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from probed.frozen import frozen

PLAIN_TEXT = "text/plain; charset=utf-8"

REASONS: Mapping[int, str] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
"""Every status of the server's responses. Source: RFC 9110 section 15, RFC 6585."""


@dataclass(slots=True, eq=False)
class Peer:
    """Identity of a client's connection for the pages; `is_open` until the client or the server closes it."""

    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `path` decoded as latin-1, `query` not decoded, names of `headers` in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: Peer = field(default_factory=Peer, compare=False)


@frozen
class Response:
    """A response: `status` is a key of `REASONS`; `headers` come besides Content-Type and Content-Length."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def text(status: int, line: str, *headers: tuple[str, str]) -> Response:
    """Return a response of one line of plain text."""
    return Response(status, PLAIN_TEXT, f"{line}\n".encode(errors="replace"), headers)
