# SPDX-License-Identifier: Apache-2.0
"""The attacked server, and connections to the server over TCP or TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ATTACKER, SCRAPER = "127.0.0.2", "127.0.0.1"
PATIENCE = {ATTACKER: 2.0, SCRAPER: 60.0}
"""Seconds that a client waits, by address: short for an attacker, long for a scraper."""

NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class Target:
    """A server on a loopback; `identity` is a file with a client's certificate and key, empty for none."""

    url: str
    identity: str = ""
    context: ssl.SSLContext = field(init=False, compare=False)

    def __post_init__(self) -> None:
        assert (urlsplit(self.url).hostname or "").startswith("127."), "only a loopback is attacked"
        object.__setattr__(self, "context", context(self.identity))

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def connect_tcp(self, source: str = ATTACKER) -> socket.socket:
        """Connect without sending anything."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.settimeout(PATIENCE[source])
        client.bind((source, 0))
        client.connect(self.address)
        return client

    def start_tls(self, client: socket.socket) -> socket.socket:
        """Wrap a connection in TLS where the server speaks TLS."""
        return self.context.wrap_socket(client) if self.url.startswith("https:") else client

    def connect(self, source: str = ATTACKER) -> socket.socket:
        """Connect and shake hands, ready for a request."""
        return self.start_tls(self.connect_tcp(source))


def context(identity: str) -> ssl.SSLContext:
    """Return a TLS context without verification: the client has no secret to protect."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if identity:
        made.load_cert_chain(identity)
    return made


def hold(connect: Callable[[], socket.socket], count: int, first: bytes, trickle: bytes, end: float) -> None:
    """Hold connections, send `first` on each, then byte after byte of `trickle`, again from its start.

    Replace connections that the server closes.
    """
    with contextlib.ExitStack() as held:
        clients: list[tuple[socket.socket, float]] = []
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                while len(clients) < count and time.monotonic() < end:
                    client = held.enter_context(connect())
                    client.sendall(first)
                    clients.append((client, time.monotonic()))
            clients = [(client, since) for client, since in clients if _trickles(client, trickle, since)]
            time.sleep(0.05)


def _trickles(client: socket.socket, trickle: bytes, since: float) -> bool:
    client.setblocking(False)
    try:
        if trickle:
            at = int((time.monotonic() - since) * 20) % len(trickle)
            client.send(trickle[at : at + 1])
        return bool(client.recv(4096))
    except NOTHING_YET:
        return True
    except OSError:
        client.close()
        return False


def say(client: socket.socket, data: bytes, end: bool = False) -> None:
    """Send bytes and read the answer to its end."""
    client.sendall(data)
    if end:
        client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass
