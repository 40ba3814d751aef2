# SPDX-License-Identifier: Apache-2.0
"""The access policy: transport, authentication and headers of connections, and the default policy.

`server` asks the policy for each connection and each request. `secured_policy` has the policy of a web configuration.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Protocol

from probed.exporter.http_server.messages import Request, Response
from probed.exporter.http_server.transport import TcpTransport, Transport


class AccessPolicy(Protocol):
    """Rules for the connections made while this policy is in force; `headers` are added to every response."""

    headers: Mapping[str, str]

    def transport(self, connected: socket.socket) -> Transport:
        """Return the transport of a new connection. Raises OSError."""
        ...

    def check_cached(self, request: Request) -> Response | bool:
        """Return the refusal, True for a request to serve, or False when only `verify_password` can tell."""
        ...

    def verify_password(self, request: Request) -> Response | None:
        """Compute whether the password is correct, however long that takes; return the refusal if not."""
        ...


class OpenPolicy:
    """Default access policy: plain TCP, no authentication."""

    headers: Mapping[str, str] = {}

    def transport(self, connected: socket.socket) -> Transport:
        """Return a TCP transport."""
        return TcpTransport(connected)

    def check_cached(self, _: Request) -> Response | bool:
        """Serve every request."""
        return True

    def verify_password(self, _: Request) -> Response | None:
        """Serve every request."""
        return None
