# SPDX-License-Identifier: Apache-2.0
"""The access policy of a web configuration: TLS, client certificates, passwords, a rate limit, headers.

The exporter imports this module, with everything that any web configuration needs, only when it starts with a web
configuration: at a later reload the exporter may not be able to read Python's files.
"""

from __future__ import annotations

import socket

from probed.exporter.http_server.basic_auth import BasicAuth
from probed.exporter.http_server.messages import Request, Response, text
from probed.exporter.http_server.tls_transport import TlsTransport
from probed.exporter.http_server.token_bucket import TokenBucket
from probed.exporter.http_server.transport import TcpTransport, Transport
from probed.webconfig.settings import WebSettings
from probed.webconfig.tls import context

_REFUSED = text(401, "Unauthorized", ("WWW-Authenticate", 'Basic realm="probed", charset="UTF-8"'))
_TOO_MANY = text(429, "Too Many Requests", ("Retry-After", "1"))


class SecuredPolicy:
    """An `AccessPolicy` for all pages alike, health and readiness included, as in Prometheus' exporter-toolkit."""

    def __init__(self, settings: WebSettings) -> None:
        """Load certificates and users. Raises tls.TlsError."""
        self.headers = settings.headers
        self._context = context(settings.tls) if settings.tls else None
        self._sans = frozenset(settings.tls.allowed_sans) if settings.tls else frozenset[str]()
        self._basic_auth = BasicAuth(settings.users)
        self._bucket = TokenBucket(settings.interval, settings.burst)

    def transport(self, connected: socket.socket) -> Transport:
        """Return a TLS transport, or a TCP transport without TLS settings. Raises OSError."""
        return TlsTransport(connected, self._context, self._sans) if self._context else TcpTransport(connected)

    def check_cached(self, request: Request) -> Response | bool:
        """Apply the rate limit, then look up the credentials among the remembered ones."""
        if not self._bucket.take():
            return _TOO_MANY
        right = self._basic_auth.check_cached(request.headers.get("authorization", ""))
        return _REFUSED if right is False else right is True

    def verify_password(self, request: Request) -> Response | None:
        """Compute whether the password is correct; return the refusal if not."""
        return None if self._basic_auth.verify_password(request.headers.get("authorization", "")) else _REFUSED
