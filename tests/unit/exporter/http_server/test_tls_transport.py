# SPDX-License-Identifier: Apache-2.0
"""TLS over a non-blocking socket, against Python's own client on the other end of a pair."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import pytest

from attacks.target import context
from probed.exporter.http_server.connection import LEAVE
from probed.exporter.http_server.tls_transport import TlsTransport
from probed.exporter.http_server.transport import CHUNK, WouldBlock
from support.certificates import Authority

T = TypeVar("T")
BODY = bytes(range(251)) * 4001
"""About a megabyte: more than a socket holds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    signed = Authority(tmp_path_factory.mktemp("server")).sign("server", "DNS:localhost")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.num_tickets = 0  # the client reads none
    made.load_cert_chain(signed.certificate, signed.key)
    return made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def finally_done(act: Callable[[], T], ours: TlsTransport) -> T:
    """Call `act` like the reactor: wait for the events of WouldBlock, and try again."""
    while True:
        try:
            return act()
        except WouldBlock as wait:
            poll = select.poll()
            poll.register(ours.fileno(), wait.events)
            assert poll.poll(10_000), "the other side has stopped"


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_response_larger_than_the_socket_buffer_arrives_whole(
    server: ssl.SSLContext, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = TlsTransport(pair[0], server, frozenset()), pair[1]
    got = bytearray()

    def read() -> None:
        with context("").wrap_socket(theirs) as client:
            client.sendall(b"please")
            while data := client.recv(65536):
                got.extend(data)

    reading = in_thread(read)
    finally_done(ours.handshake, ours)
    assert finally_done(ours.receive, ours) == b"please"
    left = memoryview(BODY)
    while left:
        left = left[finally_done(partial(ours.send, left), ours) :]
    ours.end()
    reading.join(LEAVE)
    assert bytes(got) == BODY


def test_an_end_without_close_notify_is_an_end(
    server: ssl.SSLContext, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = TlsTransport(pair[0], server, frozenset()), pair[1]

    def leave() -> None:
        with context("").wrap_socket(theirs) as client:
            client.shutdown(socket.SHUT_WR)

    leaving = in_thread(leave)
    finally_done(ours.handshake, ours)
    assert finally_done(ours.receive, ours) == b""
    leaving.join()


def test_a_long_message_is_read_a_chunk_at_a_time(
    server: ssl.SSLContext, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = TlsTransport(pair[0], server, frozenset()), pair[1]
    hello_of_any_length = b"\x16\x03\x01\x40\x00\x01\x00\xff\xfc\x03\x03"
    theirs.sendall(hello_of_any_length + bytes(5 * CHUNK))
    with pytest.raises(WouldBlock):
        ours.handshake()
    assert len(pair[0].recv(6 * CHUNK, socket.MSG_PEEK)) == len(hello_of_any_length) + 4 * CHUNK


def test_plain_http_ends_the_handshake(server: ssl.SSLContext, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = TlsTransport(pair[0], server, frozenset()), pair[1]
    theirs.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    with pytest.raises(ssl.SSLError, match="HTTP_REQUEST"):
        ours.handshake()
