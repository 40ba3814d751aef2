# SPDX-License-Identifier: Apache-2.0
"""A request and a response, as `client` reads and writes them and `http` answers them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
"""Every status that is ever answered. Source: RFC 9110 section 15, RFC 6585."""


@dataclass(slots=True, eq=False)
class Connection:
    """The connection of a client; it is open until the client or the server closes it."""

    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is decoded as latin-1, `query` is as it came, names of `headers` are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    connection: Connection = field(default_factory=Connection, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """`status` is one of `REASONS`; `headers` are those besides Content-Type and Content-Length."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def text(status: int, line: str, *headers: tuple[str, str]) -> Response:
    """Answer with a line of text."""
    return Response(status, PLAIN_TEXT, f"{line}\n".encode(errors="replace"), headers)
