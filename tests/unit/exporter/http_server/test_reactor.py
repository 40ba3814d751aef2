# SPDX-License-Identifier: Apache-2.0
"""The reactor without a thread: the test calls each iteration."""

from __future__ import annotations

import select
import socket
from collections import Counter
from contextlib import ExitStack

import pytest

from probed.exporter.http_server.connection import Connection
from probed.exporter.http_server.policy import OpenPolicy
from probed.exporter.http_server.reactor import Reactor, client_key
from probed.exporter.http_server.transport import TcpTransport, WouldBlock

CLIENTS = 5


def test_each_iteration_continues_one_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probed.exporter.http_server.reactor._GRACE_SECONDS", 0)
    continued: list[int] = []

    class Endless(TcpTransport):
        """A transport that never completes its handshake."""

        shakes_hands = True

        def handshake(self) -> None:
            continued.append(self.fileno())
            raise WouldBlock(select.EPOLLIN)

    def connection(accepted: socket.socket, key: bytes) -> Connection:
        return Connection(Endless(accepted), key, OpenPolicy(), lambda _: None)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    reactor = Reactor([listener], connection, lambda _: None, most=64)
    with ExitStack() as clients:
        for _ in range(CLIENTS):
            client = clients.enter_context(socket.create_connection(listener.getsockname(), timeout=30))
            client.sendall(b"\x16")
        while len(continued) < 4 * CLIENTS:
            before = len(continued)
            reactor._iterate()
            assert len(continued) - before <= 1
        assert set(Counter(continued).values()) <= {3, 4, 5}
        reactor.stop()
        reactor.run()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(one: str, other: str, same: bool) -> None:
    assert (client_key(one) == client_key(other)) is same
