# SPDX-License-Identifier: Apache-2.0
"""The terms of a web configuration: TLS, client certificates, passwords, a rate, headers.

Imported only where there is one, and with it all that any configuration may ask for: when a later one comes, the
exporter may not be able to read Python's files.
"""

from __future__ import annotations

import socket

from probed.exporter.http_server.basic_auth import Bucket, Passwords
from probed.exporter.http_server.messages import Request, Response, text
from probed.exporter.http_server.tls_transport import Encrypted
from probed.exporter.http_server.transport import Plain, Transport
from probed.webconfig.settings import WebSettings
from probed.webconfig.tls import context

_REFUSED = text(401, "Unauthorized", ("WWW-Authenticate", 'Basic realm="probed", charset="UTF-8"'))
_TOO_MANY = text(429, "Too Many Requests", ("Retry-After", "1"))


class Guarded:
    """See `terms.Terms`. All pages are guarded alike, health and readiness too, as the exporter-toolkit has it."""

    def __init__(self, settings: WebSettings) -> None:
        """Make what they need. Raises tls.TlsError."""
        self.headers = settings.headers
        self._context = context(settings.tls) if settings.tls else None
        self._sans = frozenset(settings.tls.allowed_sans) if settings.tls else frozenset[str]()
        self._passwords = Passwords(settings.users)
        self._bucket = Bucket(settings.interval, settings.burst)

    def transport(self, connected: socket.socket) -> Transport:
        """Begin a connection. Raises OSError."""
        return Encrypted(connected, self._context, self._sans) if self._context else Plain(connected)

    def look(self, request: Request) -> Response | bool:
        """Say whether a request is let in, as far as that is known."""
        if not self._bucket.take():
            return _TOO_MANY
        right = self._passwords.look(request.headers.get("authorization", ""))
        return _REFUSED if right is False else right is True

    def verify(self, request: Request) -> Response | None:
        """Compute whether the password is right."""
        return None if self._passwords.verify(request.headers.get("authorization", "")) else _REFUSED
