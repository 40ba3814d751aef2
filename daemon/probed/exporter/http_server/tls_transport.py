# SPDX-License-Identifier: Apache-2.0
"""TLS over a connection that does not block; a transport of `client`.

OpenSSL never sees the socket: given one, it reads on for as long as records come that hold no data (requests for other
keys, say), and nobody else would be served meanwhile. Here it gets a piece at a time, and no further one before the
client has taken what the last one was answered with.

Imported only where a web configuration is set. Contexts come from `probed.webconfig.tls`.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from probed.exporter.http_server.transport import CHUNK, Wait

T = TypeVar("T")

_RECORD = 16 << 10
"""As much as one TLS record holds."""


class Encrypted:
    """The server's side of one TLS connection; `allowed_sans` empty: any certificate that the context takes."""

    shakes_hands = True

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, allowed_sans: frozenset[str]) -> None:
        self._socket = connected
        self._come, self._made = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._come, self._made, server_side=True)
        self._unsent = b""
        self._accepted = 0
        self._allowed_sans = allowed_sans

    def handshake(self) -> None:
        """Go on with the handshake. Raises OSError for a client that is not let in."""
        self._go_on(self._tls.do_handshake)
        self._flush()
        if self._allowed_sans and not self._allowed_sans & _sans(self._tls):
            raise PermissionError("the client's certificate has none of client_allowed_sans")

    def receive(self) -> bytes:
        """Take what is there, decrypted; nothing also at an end without close_notify."""
        try:
            return self._go_on(lambda: self._tls.read(CHUNK))
        except ssl.SSLEOFError:
            return b""

    def send(self, data: memoryview) -> int:
        """Send one record. After Wait the same data must come again."""
        if not self._accepted:
            self._accepted = self._go_on(lambda: self._tls.write(data[:_RECORD]))
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def end(self) -> None:
        """Send close_notify and FIN; what the client answers is of no interest."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        with suppress(OSError, Wait):
            self._flush()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        """Leave that to the next read: only TLS knows what its records say."""
        return False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def _go_on(self, act: Callable[[], T]) -> T:
        """Let OpenSSL act on what has come, and on one more piece if that is not enough."""
        self._flush()
        try:
            with suppress(ssl.SSLWantReadError):
                return act()
            self._flush()
            self._take()
            return act()
        except ssl.SSLWantReadError:
            self._flush()
            raise Wait(select.EPOLLIN) from None
        except ssl.SSLError:
            with suppress(OSError, Wait):
                self._flush()  # the alert that says why
            raise

    def _take(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            raise Wait(select.EPOLLIN) from None
        if data:
            self._come.write(data)
        else:
            self._come.write_eof()

    def _flush(self) -> None:
        self._unsent += self._made.read()
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                raise Wait(select.EPOLLOUT) from None
            self._unsent = self._unsent[sent:]


def _sans(tls: ssl.SSLObject) -> frozenset[str]:
    """Return the Subject Alternative Names of the client's certificate: DNS, IP, e-mail and URI."""
    certificate: Mapping[str, Any] = tls.getpeercert() or {}
    names: set[str] = set()
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            with suppress(ValueError):
                names.add(str(ipaddress.ip_address(str(value).strip())))
        elif kind in ("DNS", "email", "URI"):
            names.add(str(value))
    return frozenset(names)
