# SPDX-License-Identifier: Apache-2.0
"""TLS over a non-blocking connection: a transport for `connection`.

OpenSSL gets no socket: given one, OpenSSL would keep reading while records without data arrive (such as key updates)
and block all other clients. Instead, OpenSSL gets one chunk at a time, and the next one only after the client has
received the answer to the last one.

Imported only with a web configuration. Contexts come from `probed.webconfig.tls`.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from probed.exporter.http_server.transport import CHUNK, WouldBlock

T = TypeVar("T")

_RECORD = 16 << 10
"""Most bytes of data in one TLS record."""


class TlsTransport:
    """The server side of one TLS connection. With empty `allowed_sans`, the context alone checks certificates."""

    shakes_hands = True

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, allowed_sans: frozenset[str]) -> None:
        self._socket = connected
        self._input, self._output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._input, self._output, server_side=True)
        self._unsent = b""
        self._accepted = 0
        self._allowed_sans = allowed_sans

    def handshake(self) -> None:
        """Continue the handshake. Raises OSError for a client without an allowed certificate."""
        self._call(self._tls.do_handshake)
        self._flush()
        if self._allowed_sans and not self._allowed_sans & _sans(self._tls):
            raise PermissionError("the client's certificate has none of client_allowed_sans")

    def receive(self) -> bytes:
        """Return decrypted bytes; empty also when the client ends without close_notify."""
        try:
            return self._call(lambda: self._tls.read(CHUNK))
        except ssl.SSLEOFError:
            return b""

    def send(self, data: memoryview) -> int:
        """Send one record. After WouldBlock, call again with the same data."""
        if not self._accepted:
            self._accepted = self._call(lambda: self._tls.write(data[:_RECORD]))
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def end(self) -> None:
        """Send close_notify and FIN; the client's reply does not matter."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        with suppress(OSError, WouldBlock):
            self._flush()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        """Return False: only the next read of TLS records can tell."""
        return False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def _call(self, act: Callable[[], T]) -> T:
        """Call OpenSSL with the input so far, then once more with one more chunk of input."""
        self._flush()
        try:
            with suppress(ssl.SSLWantReadError):
                return act()
            self._flush()
            self._take()
            return act()
        except ssl.SSLWantReadError:
            self._flush()
            raise WouldBlock(select.EPOLLIN) from None
        except ssl.SSLError:
            with suppress(OSError, WouldBlock):
                self._flush()  # the TLS alert with the reason
            raise

    def _take(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            raise WouldBlock(select.EPOLLIN) from None
        if data:
            self._input.write(data)
        else:
            self._input.write_eof()

    def _flush(self) -> None:
        self._unsent += self._output.read()
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                raise WouldBlock(select.EPOLLOUT) from None
            self._unsent = self._unsent[sent:]


def _sans(tls: ssl.SSLObject) -> frozenset[str]:
    """Return DNS names, IP addresses, e-mail addresses and URIs in the client's certificate. Raises PermissionError."""
    try:
        certificate: Mapping[str, Any] = tls.getpeercert() or {}
    except UnicodeDecodeError as error:  # Python decodes names as UTF-8, where the certificate may hold any bytes
        raise PermissionError(f"the client's certificate has a name that is not UTF-8: {error}") from error
    names: set[str] = set()
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            with suppress(ValueError):
                names.add(str(ipaddress.ip_address(str(value).strip())))
        elif kind in ("DNS", "email", "URI"):
            names.add(str(value))
    return frozenset(names)
