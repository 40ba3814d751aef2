# SPDX-License-Identifier: Apache-2.0
"""Non-blocking input and output of one connection: the interface for `connection`, and plain TCP.

`tls_transport` implements the same interface for TLS.
"""

from __future__ import annotations

import select
import socket
from typing import Protocol

CHUNK = 4 << 10
"""Bytes read at a time."""


class WouldBlock(Exception):
    """The operation cannot continue before one of the epoll `events`."""

    def __init__(self, events: int) -> None:
        super().__init__(events)
        self.events = events


class Transport(Protocol):
    """A connected non-blocking socket. Every method raises WouldBlock, or OSError for a broken connection.

    With `shakes_hands`, the first call is `handshake`.
    """

    shakes_hands: bool

    def handshake(self) -> None:
        """Continue the handshake; return when complete."""
        ...

    def receive(self) -> bytes:
        """Return the bytes received so far; empty at the end of input."""
        ...

    def send(self, data: memoryview) -> int:
        """Send a part of `data`; return the number of bytes sent."""
        ...

    def end(self) -> None:
        """Announce the end of output to the client."""
        ...

    def close(self) -> None:
        """Close the socket."""
        ...

    def has_ended(self) -> bool:
        """Return whether the client has sent FIN and no input is left to read. Never blocks."""
        ...

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


class TcpTransport:
    """A plain TCP connection."""

    shakes_hands = False

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def handshake(self) -> None:
        """Do nothing: TCP's own handshake is complete."""

    def receive(self) -> bytes:
        """Return the bytes received so far."""
        try:
            return self._socket.recv(CHUNK)
        except BlockingIOError:
            raise WouldBlock(select.EPOLLIN) from None

    def send(self, data: memoryview) -> int:
        """Send as much as the kernel accepts."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            raise WouldBlock(select.EPOLLOUT) from None

    def end(self) -> None:
        """Send FIN."""
        self._socket.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        """Return whether the client has sent FIN."""
        return has_ended(self._socket)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()


def has_ended(connected: socket.socket) -> bool:
    """Return whether a TCP connection has received FIN or RST and no input is left to read."""
    try:
        return not connected.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
