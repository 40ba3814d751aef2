# SPDX-License-Identifier: Apache-2.0
"""The terms on which clients are served where no web configuration says otherwise: anybody, without TLS.

`guarded` has the others; `server` asks either.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Protocol

from probed.exporter.http_server.messages import Request, Response
from probed.exporter.http_server.transport import Plain, Transport


class Terms(Protocol):
    """What holds for connections that are made while it holds. `headers` are added to every answer."""

    headers: Mapping[str, str]

    def transport(self, connected: socket.socket) -> Transport:
        """Begin a connection. Raises OSError."""
        ...

    def look(self, request: Request) -> Response | bool:
        """Say whether a request is let in: how it is refused, or whether its password is known; False: `verify` it."""
        ...

    def verify(self, request: Request) -> Response | None:
        """Compute what `look` did not know, for as long as that takes; return how the request is refused."""
        ...


class Open:
    """Anybody is served."""

    headers: Mapping[str, str] = {}

    def transport(self, connected: socket.socket) -> Transport:
        """Begin a connection."""
        return Plain(connected)

    def look(self, _: Request) -> Response | bool:
        """Let everybody in."""
        return True

    def verify(self, _: Request) -> Response | None:
        """Let everybody in."""
        return None
