# SPDX-License-Identifier: Apache-2.0
"""TLS over a connection that does not block; a transport of `client`.

Imported only where a web configuration is set. Contexts come from `probed.tls`.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from probed.exporter.transport import CHUNK, Wait

T = TypeVar("T")

_RECORD = 16 << 10
"""As much as one TLS record holds: what was begun must be gone on with as it was, so pieces are small."""


class Encrypted:
    """The server's side of one TLS connection; `allowed_sans` empty: any certificate that the context takes."""

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, allowed_sans: frozenset[str]) -> None:
        self._socket = context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        self._allowed_sans = allowed_sans

    def handshake(self) -> None:
        """Go on with the handshake. Raises OSError for a client that is not let in."""
        _without_waiting(self._socket.do_handshake)
        if self._allowed_sans and not self._allowed_sans & _sans(self._socket):
            raise PermissionError("the client's certificate has none of client_allowed_sans")

    def receive(self) -> bytes:
        """Take what is there, decrypted."""
        return _without_waiting(lambda: self._socket.recv(CHUNK))

    def send(self, data: memoryview) -> int:
        """Send one record."""
        return _without_waiting(lambda: self._socket.send(data[:_RECORD]))

    def end(self) -> None:
        """Send close_notify and FIN; what the client answers is of no interest."""
        with suppress(ssl.SSLError):
            self._socket.unwrap()
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


def _without_waiting(act: Callable[[], T]) -> T:
    try:
        return act()
    except ssl.SSLWantReadError:
        raise Wait(select.EPOLLIN) from None
    except ssl.SSLWantWriteError:
        raise Wait(select.EPOLLOUT) from None


def _sans(connected: ssl.SSLSocket) -> frozenset[str]:
    """Return the Subject Alternative Names of the client's certificate: DNS, IP, e-mail and URI."""
    certificate: Mapping[str, Any] = connected.getpeercert() or {}
    names: set[str] = set()
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            with suppress(ValueError):
                names.add(str(ipaddress.ip_address(str(value).strip())))
        elif kind in ("DNS", "email", "URI"):
            names.add(str(value))
    return frozenset(names)
