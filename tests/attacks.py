# SPDX-License-Identifier: Apache-2.0
"""What strangers do to a web server, on a loopback only, and what a well-behaved client sees meanwhile.

Tests run each for seconds. By hand, against a daemon that runs, from the folder of the tests:

    python attacks.py 127.0.0.1:9788                 # each for three seconds
    python attacks.py 127.0.0.1:9788 30 flood        # 10,000 requests a second for 30 s

An attack is a process of its own, ends by itself, and comes from 127.0.0.2, the client from 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Address = tuple[str, int]

FOE, FRIEND = "127.0.0.2", "127.0.0.1"
IDLE_CONNECTIONS = 2000
SLOW_CONNECTIONS = 500
FLOOD_RATE = 10_000
FLOOD_CONNECTIONS = 64
LONGEST = 60.0
"""Seconds after which an attack ends, whatever was wanted."""

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def _connect(address: Address) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(2)
    client.bind((FOE, 0))
    client.connect(address)
    return client


def _hold(address: Address, count: int, first: bytes, trickle: bytes, end: float) -> None:
    """Hold connections, say `first` on each, and a byte of `trickle` now and then; connect anew where one is closed."""
    with contextlib.ExitStack() as held:
        clients: list[socket.socket] = []
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                while len(clients) < count and time.monotonic() < end:
                    client = held.enter_context(_connect(address))
                    client.sendall(first)
                    clients.append(client)
            clients = [client for client in clients if _trickles(client, trickle)]
            time.sleep(0.05)


def _trickles(client: socket.socket, trickle: bytes) -> bool:
    client.setblocking(False)
    try:
        if trickle:
            client.send(trickle)
        return bool(client.recv(4096))
    except BlockingIOError:
        return True
    except OSError:
        client.close()
        return False


def idle(address: Address, end: float) -> None:
    """2,000 connections that say nothing."""
    _hold(address, IDLE_CONNECTIONS, b"", b"", end)


def slow_requests(address: Address, end: float) -> None:
    """Requests that come byte by byte."""
    _hold(address, SLOW_CONNECTIONS, b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ", b"a", end)


def slow_handshakes(address: Address, end: float) -> None:
    """The beginning of a TLS ClientHello, and then a byte now and then."""
    _hold(address, SLOW_CONNECTIONS, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0", end)


def slow_readers(address: Address, end: float) -> None:
    """Requests for pages that nobody then reads."""
    with contextlib.ExitStack() as held:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                client.settimeout(2)
                client.bind((FOE, 0))
                client.connect(address)
                client.sendall(8 * GET)
                held.enter_context(client)
            time.sleep(0.01)


def _say(address: Address, data: bytes, end: bool = False) -> None:
    with contextlib.suppress(OSError), _connect(address) as client:
        client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def garbage(address: Address, end: float) -> None:
    """Bytes by chance, TLS records, huge heads, paths and methods of all kinds, half-closed and reset connections."""
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
        _say(address, chance.choice(odd)(), end=True)
        with contextlib.suppress(OSError), _connect(address) as client:
            client.sendall(GET[: chance.randrange(len(GET))])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


PATHS = (
    b"/../../etc/shadow", b"//metrics", b"/%2e%2e/%00", b"/metrics/..;/", b"/\xff\xfe", b"*", b"http://x/metrics", b"?",
    b"/-/reload", b"/metrics?" + 2000 * b"name[]=x&", b"/" + 500 * b"%25",
)  # fmt: skip
METHODS = (b"POST", b"PUT", b"DELETE", b"TRACE", b"CONNECT", b"OPTIONS", b"PATCH", b"PRI", b"G\x00T", b"get", b"BREW")


def flood(address: Address, end: float) -> None:
    """10,000 requests a second on a few connections, written without waiting for answers."""
    with contextlib.ExitStack() as held, select.epoll() as epoll:
        clients: dict[int, socket.socket] = {}
        began, sent, answered = time.monotonic(), 0, 0
        while (now := time.monotonic()) < end:
            while len(clients) < FLOOD_CONNECTIONS:
                client = held.enter_context(_connect(address))
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
                except OSError:
                    data = b""
                answered += data.count(b"HTTP/1.1 ")
                if not data:
                    clients.pop(fd).close()
        print(f"flood: {sent / (now - began):,.0f} requests a second sent, {answered / (now - began):,.0f} answered")


def connections(address: Address, end: float) -> None:
    """As many new connections as one process can make, each with one request."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError), _connect(address) as client:
            client.sendall(GET)


ATTACKS: dict[str, Callable[[Address, float], None]] = {
    attack.__name__: attack
    for attack in (idle, slow_requests, slow_handshakes, slow_readers, garbage, flood, connections)
}


@contextlib.contextmanager
def under(attack: str, address: Address, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Let an attack go on meanwhile, for so many seconds at most."""
    command = [sys.executable, __file__, f"{address[0]}:{address[1]}", f"{seconds}", attack, "alone"]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw: how many scrapes were answered by 200, and seconds that the slowest of all took."""

    scrapes: int
    good: int
    slowest: float


def look_on(scrape: Callable[[], int], process: subprocess.Popen[bytes]) -> Seen:
    """Scrape again and again, 20 times a second, until an attack is over; `scrape` returns a status."""
    statuses: list[int] = []
    slowest = 0.0
    while process.poll() is None:
        began = time.monotonic()
        try:
            statuses.append(scrape())
        except OSError as error:
            print(f"a scrape failed: {error}", file=sys.stderr)
            statuses.append(0)
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.05)
    return Seen(len(statuses), statuses.count(200), slowest)


def scraper(address: Address) -> Callable[[], int]:
    """Make a client that gets the metrics page, on a new connection each time, and returns the status."""

    def scrape() -> int:
        with socket.create_connection(address, timeout=5, source_address=(FRIEND, 0)) as client:
            client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n"))
            answer = b"".join(iter(lambda: client.recv(65536), b""))
            return int(answer.split(b" ", 2)[1]) if answer else 0

    return scrape


def main(place: str, seconds: str = "3", attack: str = "", alone: str = "") -> None:
    """Attack the server at `place`, and print what a client sees."""
    host, _, port = place.rpartition(":")
    address = (host, int(port))
    assert host.startswith("127."), "only a loopback is attacked"
    duration = min(float(seconds), LONGEST)
    if alone:
        _attack(attack, address, duration)
        return
    for name in [attack] if attack else ATTACKS:
        with under(name, address, duration) as process:
            print(f"{name:16} {look_on(scraper(address), process)}", flush=True)


def _attack(attack: str, address: Address, duration: float) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    signal.alarm(int(LONGEST) + 5)
    ATTACKS[attack](address, time.monotonic() + duration)


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent)]
    os.nice(5)
    main(*sys.argv[1:])
