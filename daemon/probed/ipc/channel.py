# SPDX-License-Identifier: Apache-2.0
"""A channel between two of the three processes: JSON and fds over SOCK_SEQPACKET, one message per packet.

Never pickle: the exporter, which speaks HTTP, could otherwise run code in the supervisor. The receiver builds the
dataclass of a message with `schema.structure`, as strictly as the YAML.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from probed.frozen import frozen
from probed.schema import structure

Sent = TypeVar("Sent")
Received = TypeVar("Received")

MAX_FDS = 253
"""Linux include/net/scm.h: SCM_MAX_FD."""
MAX_BYTES = 1 << 20
MAX_BODY = MAX_BYTES // 4


class Closed(Exception):
    """The other side has closed the channel."""


class Starved(Exception):
    """A message came without its fds, because this process may open no more files; `message` has the data."""

    def __init__(self, message: Any) -> None:
        super().__init__(f"message {type(message).__name__} came without its descriptors: too many open files")
        self.message = message


@frozen
class Packet(Generic[Received]):
    """A message and its fds, which the receiver owns."""

    message: Received
    fds: tuple[int, ...]


class Channel(Generic[Sent, Received]):
    """One end of a connected pair. Not thread-safe."""

    def __init__(self, end: socket.socket, receives: Sequence[type[Received]]) -> None:
        """`receives` lists the dataclasses of the other side's messages."""
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_BYTES)
        self._socket = end
        self.most_bytes = MAX_BYTES
        """Most bytes of a message that `receive` takes."""
        self._kinds = {each.__name__: each for each in receives}

    @classmethod
    def pair(cls, receives: Sequence[type[Received]]) -> tuple[Channel[Sent, Received], socket.socket]:
        """Return this side's channel and the socket for a child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours, receives), theirs

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self._socket.fileno()

    def send(self, message: Sent, fds: Sequence[int] = ()) -> None:
        """Send one message. Raises Closed when the other side has gone, ValueError past the limits."""
        body = encoded(message)
        if len(body) > MAX_BODY or len(fds) > MAX_FDS:
            kind = type(message).__name__
            raise ValueError(f"message {kind} has {len(body)} bytes and {len(fds)} fds: too large to send")
        try:
            if fds:
                socket.send_fds(self._socket, [body], list(fds))
            else:
                self._socket.send(body)  # the exporter's filter refuses sendmsg(2)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self) -> Packet[Received]:
        """Wait for one message.

        Raises Closed at the end, Starved, ValueError for another kind of message or none, and DeclarationError for
        data of another form.
        """
        try:
            body, fds, flags = self._receive()
        except ConnectionResetError as error:
            raise Closed from error
        try:
            if not body:
                raise Closed
            if flags & socket.MSG_TRUNC:
                raise ValueError("a message came truncated")
            message = self._parse(body)
            if flags & socket.MSG_CTRUNC:
                raise Starved(message)
        except BaseException:
            close_all(fds)
            raise
        return Packet(message, tuple(fds))

    def _receive(self) -> tuple[bytes, array[int], int]:
        """Take a packet and its fds, closed on exec: `socket.recv_fds` of Python 3.11 ignores its flags."""
        fds = array("i")
        room = socket.CMSG_SPACE(MAX_FDS * fds.itemsize)
        body, ancillary, flags, _ = self._socket.recvmsg(self.most_bytes, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return body, fds, flags

    def _parse(self, body: bytes) -> Received:
        try:
            packet = json.loads(body)
        except (ValueError, RecursionError):  # RecursionError: a thousand lists in lists
            packet = None
        if not isinstance(packet, Mapping) or packet.keys() != {"kind", "data"} or not isinstance(packet["kind"], str):
            raise ValueError(f"not a message: {body[:80]!r}")
        kind = self._kinds.get(packet["kind"])
        if kind is None:
            raise ValueError(f"a message of kind '{packet['kind'][:80]}'; expected {', '.join(self._kinds)}")
        return structure.build(kind, packet["data"], structure.Source(f"message {kind.__name__}"))

    def set_timeout(self, seconds: float | None) -> None:
        """Let `send` and `receive` raise TimeoutError after so many seconds."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def encoded(message: object) -> bytes:
    """Return a message as JSON."""
    packet = {"kind": type(message).__name__, "data": structure.to_data(message)}
    return json.dumps(packet, separators=(",", ":")).encode()


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)
