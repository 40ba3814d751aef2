# SPDX-License-Identifier: Apache-2.0
"""How the three processes talk: JSON and file descriptors over SOCK_SEQPACKET, one message a packet.

Never pickle: the exporter, which speaks HTTP, could otherwise run code in the supervisor. Who receives builds its
dataclass with `shape`, as strictly as the YAML.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_FDS = 253
"""Linux include/net/scm.h: SCM_MAX_FD."""
MAX_BYTES = 1 << 20


class Closed(Exception):
    """The other side has gone."""


class Starved(Exception):
    """A message came without its fds, since this process may open no more files; `message` is what is left of it."""

    def __init__(self, message: Message) -> None:
        super().__init__(f"message '{message.kind}' came without its descriptors: too many open files")
        self.message = message


@dataclass(frozen=True, slots=True)
class Message:
    """`kind` says what it is, `data` is plain JSON data, `fds` belong to the receiver now."""

    kind: str
    data: object
    fds: tuple[int, ...]


class Channel:
    """One end of a connected pair. Not thread-safe."""

    def __init__(self, end: socket.socket) -> None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_BYTES)
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Return this side's channel and the socket to hand to a child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self._socket.fileno()

    def send(self, kind: str, data: object, fds: Sequence[int] = ()) -> None:
        """Send one message. Raises Closed when the other side has gone, ValueError past the limits."""
        body = json.dumps({"kind": kind, "data": data}, separators=(",", ":")).encode()
        if len(body) > MAX_BYTES // 4 or len(fds) > MAX_FDS:
            raise ValueError(f"message '{kind}' has {len(body)} bytes and {len(fds)} fds: too large to send")
        try:
            socket.send_fds(self._socket, [body], list(fds))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self) -> Message:
        """Take one message, waiting for it. Raises Closed at the end, Starved, ValueError for what is no message."""
        try:
            body, fds, flags = self._receive()
        except ConnectionResetError as error:
            raise Closed from error
        if not body:
            raise Closed
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close_all(fds)
            if flags & socket.MSG_TRUNC:
                raise ValueError("a message came truncated")
            raise Starved(_parse(body, ()))
        return _parse(body, fds)

    def _receive(self) -> tuple[bytes, array[int], int]:
        """Take a packet and its fds, closed on exec: `socket.recv_fds` of Python 3.11 ignores its flags."""
        fds = array("i")
        room = socket.CMSG_SPACE(MAX_FDS * fds.itemsize)
        body, ancillary, flags, _ = self._socket.recvmsg(MAX_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return body, fds, flags

    def set_timeout(self, seconds: float | None) -> None:
        """Let `send` and `receive` raise TimeoutError after so long."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def _parse(body: bytes, fds: Sequence[int]) -> Message:
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if isinstance(message, Mapping) and message.keys() == {"kind", "data"} and isinstance(message["kind"], str):
        return Message(message["kind"], message["data"], tuple(fds))
    _close_all(fds)
    raise ValueError(f"not a message: {body[:80]!r}")


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
