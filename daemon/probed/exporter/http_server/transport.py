# SPDX-License-Identifier: Apache-2.0
"""How bytes come and go without waiting: the interface that `client` uses, and TCP as it is. `encrypted` has TLS."""

from __future__ import annotations

import select
import socket
from typing import Protocol

CHUNK = 4 << 10
"""Bytes that are taken at a time."""


class Wait(Exception):
    """There is nothing to do before one of these epoll events."""

    def __init__(self, events: int) -> None:
        super().__init__(events)
        self.events = events


class Transport(Protocol):
    """A connected socket that does not block; every method raises Wait, or OSError when the connection is broken.

    `shakes_hands` tells whether `handshake` comes first.
    """

    shakes_hands: bool

    def handshake(self) -> None:
        """Do what comes before the first byte."""
        ...

    def receive(self) -> bytes:
        """Take what is there; nothing at the end."""
        ...

    def send(self, data: memoryview) -> int:
        """Send some of `data`, and return how much."""
        ...

    def end(self) -> None:
        """Say that nothing more is sent."""
        ...

    def close(self) -> None:
        """Close the socket."""
        ...

    def has_ended(self) -> bool:
        """Say whether the other side has sent FIN, and nothing before that is left to read. Never waits."""
        ...

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


class Plain:
    """A TCP connection as it is."""

    shakes_hands = False

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def handshake(self) -> None:
        """Do nothing."""

    def receive(self) -> bytes:
        """Take what is there."""
        try:
            return self._socket.recv(CHUNK)
        except BlockingIOError:
            raise Wait(select.EPOLLIN) from None

    def send(self, data: memoryview) -> int:
        """Send what the kernel takes."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            raise Wait(select.EPOLLOUT) from None

    def end(self) -> None:
        """Send FIN."""
        self._socket.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        """Say whether the other side has sent FIN."""
        return has_ended(self._socket)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()


def has_ended(connected: socket.socket) -> bool:
    """Say whether the other side of a TCP connection has sent FIN or RST, and nothing is left to read."""
    try:
        return not connected.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
