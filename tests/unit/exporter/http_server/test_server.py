# SPDX-License-Identifier: Apache-2.0
"""The server, over real sockets."""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from probed.exporter.http_server.connection import HEADER_BYTES, Connection
from probed.exporter.http_server.messages import Request, Response
from probed.exporter.http_server.server import THREADS, Responder, Server
from probed.webconfig.options import WebOptions
from support.running_daemon import until

MAX_REQUESTS = WebOptions().max_requests
LONG = 30.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def _hello(_: Request) -> Response:
    return Response(200, "text/plain", b"hello")


def _bound(host: str = "127.0.0.1") -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.bind((host, 0))
    return listener


@contextlib.contextmanager
def _serving(application: Responder, *hosts: str, timeout: float = LONG) -> Iterator[list[Any]]:
    listeners = [_bound(host) for host in hosts or ("127.0.0.1",)]
    addresses = [listener.getsockname()[:2] for listener in listeners]
    server = Server(listeners, application, timeout=timeout)
    server.start()
    try:
        yield addresses
    finally:
        server.stop()


def _ask(address: Any, request: bytes = GET) -> bytes:
    """Return the response to `request` up to "hello", or up to the end of the connection."""
    with socket.create_connection(address, timeout=LONG) as client:
        client.sendall(request)
        return _answer(client)


def _answer(client: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"hello"):
        data = client.recv(65536)
        if not data:
            break
        answer += data
    return answer


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("http-page")]


def test_every_socket_is_served_by_the_same_threads() -> None:
    with _serving(_hello, "127.0.0.1", "127.0.0.2") as addresses:
        assert len(_workers()) == THREADS
        assert all(_ask(address).endswith(b"hello") for address in addresses * 3)
    assert _workers() == []


def test_ipv6_is_served_beside_ipv4() -> None:
    try:
        _bound("::1").close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with _serving(_hello, "127.0.0.1", "::1") as addresses:
        assert [_ask(address).endswith(b"hello") for address in addresses] == [True, True]


def test_a_connection_serves_many_requests() -> None:
    with _serving(_hello) as (address,):
        client = http.client.HTTPConnection(address[0], address[1], timeout=LONG)
        for _ in range(3):
            client.request("GET", "/")
            answer = client.getresponse()
            assert (answer.status, answer.read(), answer.headers["Server"]) == (200, b"hello", "probed")
        client.close()


def test_responses_do_not_name_python_or_the_library() -> None:
    with _serving(_hello) as (address,):
        answers = [
            _ask(address),
            _ask(address, b"GARBAGE\r\n\r\n"),
            _ask(address, b"CONNECT x:1 HTTP/1.1\r\n\r\n"),
        ]
    assert not any(b"heroot" in answer or b"ython" in answer for answer in answers)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, b"413"),
        (b"GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET http://user:secret@x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (5 * b"\r\n" + GET, b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * HEADER_BYTES + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEADER_BYTES + b"\r\n\r\n", b"431"),
    ],
)
def test_bad_requests_are_answered_and_forgotten(
    request_bytes: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with _serving(_hello) as (address,):
        assert _ask(address, request_bytes).split(b" ", 1)[1].startswith(status)
        assert _ask(address).endswith(b"hello")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://x/metrics", "/metrics", ""),
        ("HTTP://x.example:9788/metrics?name[]=a", "/metrics", "name[]=a"),
        ("https://[::1]:9788/metrics?a/b", "/metrics", "a/b"),
        ("http://127.0.0.1", "/", ""),
        ("http://x?a", "/", "a"),
    ],
)
def test_a_url_as_request_target_is_served(target: str, path: str, query: str) -> None:
    asked: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def application(request: Request) -> Response:
        asked.put((request.path, request.query))
        return _hello(request)

    with _serving(application) as (address,):
        assert _ask(address, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).endswith(b"hello")
    assert asked.get(timeout=LONG) == (path, query)


@pytest.mark.parametrize("empty", [b"\r\n", b"\n", b"\r\n\r\n", 4 * b"\r\n"])
def test_empty_lines_before_a_request_are_ignored(empty: bytes) -> None:
    with _serving(_hello) as (address,), socket.create_connection(address, timeout=LONG) as client:
        for _ in range(3):
            client.sendall(empty + GET)
            assert _answer(client).endswith(b"hello")


def test_an_empty_line_may_come_in_pieces_and_after_a_request() -> None:
    with _serving(_hello) as (address,), socket.create_connection(address, timeout=LONG) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"\r", b"\n", GET + b"\r\n", GET + b"\r\n" + GET + b"\r\n"):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65536):
            received += data
        assert received.count(b"HTTP/1.1 200 ") == 3


def _hang_up(address: Any, request: bytes) -> None:
    client = socket.create_connection(address, timeout=LONG)
    client.sendall(request)
    # Closing sends a reset.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_clients_that_close_early_occupy_no_thread(capfd: pytest.CaptureFixture[str]) -> None:
    with _serving(_hello) as (address,):
        for _ in range(2 * THREADS):
            for request in (b"", b"G", GET, b"GET / HTTP/1.1\r\nX", b"GARBAGE\r\n\r\n"):
                _hang_up(address, request)
            assert _ask(address).endswith(b"hello")
        assert len(_workers()) == THREADS
    assert capfd.readouterr() == ("", "")


def test_an_error_in_the_application_is_logged_and_not_printed(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(request: Request) -> Response:
        if request.path == "/broken":
            raise ValueError("of some kind")
        return _hello(request)

    caplog.set_level(logging.INFO)
    with _serving(broken) as (address,):
        assert b" 500 " in _ask(
            address, GET.replace(b"/ ", b"/broken ", 1).replace(b"Host", b"Connection: close\r\nHost")
        )
        assert _ask(address).endswith(b"hello")
    assert caplog.messages == ["HTTP: cannot answer a request: ValueError: of some kind"]
    assert capfd.readouterr() == ("", "")


class Gate:
    """An application that responds once `open` is set; `inside` gets one entry for each request."""

    def __init__(self) -> None:
        self.inside: SimpleQueue[None] = SimpleQueue()
        self.open = threading.Event()

    def __call__(self, request: Request) -> Response:
        self.inside.put(None)
        assert self.open.wait(LONG)
        return _hello(request)


def _connect(address: Any) -> socket.socket:
    client = socket.create_connection(address, timeout=LONG)
    client.sendall(GET)
    return client


def test_requests_above_the_limit_get_503_at_once() -> None:
    gate = Gate()
    with _serving(gate) as (address,), contextlib.ExitStack() as clients:
        served = [clients.enter_context(_connect(address)) for _ in range(THREADS)]
        for _ in served:
            gate.inside.get(timeout=LONG)
        served += [clients.enter_context(_connect(address)) for _ in range(MAX_REQUESTS - THREADS)]
        refused = _ask(address, CLOSE)
        gate.open.set()
        head, body = refused.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Content-Length: %d\r\n" % len(body) in head
        assert body == b"too many requests; try again later\n"
        assert all(_answer(client).endswith(b"hello") for client in served)
        assert _ask(address).endswith(b"hello")


def test_a_closed_connection_gets_no_page_while_others_wait() -> None:
    gate = Gate()
    listener = _bound()
    server = Server([listener], gate)
    server.start()
    with contextlib.ExitStack() as clients:
        waiting = [clients.enter_context(_connect(listener.getsockname())) for _ in range(2 * THREADS + 1)]
        for _ in range(THREADS):
            gate.inside.get(timeout=LONG)
        until(lambda: _clients(server) == len(waiting), "all of them are there")
        for _ in range(50):
            _connect(listener.getsockname()).close()
        refused = [clients.enter_context(_connect(listener.getsockname())) for _ in range(MAX_REQUESTS)]
        assert refused[-1].recv(12) == b"HTTP/1.1 503"
        gate.open.set()
        assert all(_answer(client).endswith(b"hello") for client in waiting)
    server.stop()
    assert THREADS + gate.inside.qsize() < MAX_REQUESTS + 50


def test_a_full_backlog_of_one_address_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probed.exporter.http_server.server.CONNECTIONS", 64)
    asked: list[str] = []

    def application(request: Request) -> Response:
        asked.append(request.path)
        return _hello(request)

    listener = _bound()
    server = Server([listener], application)
    with contextlib.ExitStack() as clients:
        for whence in ["127.0.0.2"] * 101 + ["127.0.0.1"]:
            client = clients.enter_context(socket.socket())
            client.bind((whence, 0))
            client.settimeout(LONG)
            client.connect(listener.getsockname())
            client.sendall(f"GET /{whence} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.start()
        assert _answer(client).endswith(b"hello")
        assert asked.index("/127.0.0.1") < 3 * THREADS
        until(lambda: server.stats().connections == 32, "half as many as there may be are served")
        assert server.stats().dropped == 70
    server.stop()


def test_a_half_closed_connection_gets_its_response() -> None:
    with _serving(_hello) as (address,), _connect(address) as client:
        client.shutdown(socket.SHUT_WR)
        assert _answer(client).endswith(b"hello")


def test_silent_clients_occupy_no_thread() -> None:
    with _serving(_hello) as (address,), contextlib.ExitStack() as clients:
        for _ in range(2 * (THREADS + MAX_REQUESTS)):
            clients.enter_context(socket.create_connection(address, timeout=LONG))
        assert _ask(address).endswith(b"hello")


def test_a_request_that_trickles_in_ends_at_the_timeout() -> None:
    with _serving(_hello, timeout=0.3) as (address,):
        with socket.create_connection(address, timeout=LONG) as client:
            client.sendall(b"GET /")
            # One byte every 50 ms, each well within any timeout for a single read.
            for _ in range(1009):
                if select.select([client], [], [], 0.05)[0]:
                    break
                client.sendall(b"a")
            assert b" 408 " in client.recv(65536)
        assert _ask(address).endswith(b"hello")


def _wait_for_clients(server: Server, count: int) -> None:
    until(lambda: _clients(server) == count, f"{count} clients are connected")


def _clients(server: Server) -> int:
    return server.stats().connections


def test_an_unread_response_ends_at_the_timeout() -> None:
    listener = _bound()
    server = Server([listener], lambda _: Response(200, "text/plain", b"x" * (64 << 20)), timeout=0.3)
    server.start()
    with _connect(listener.getsockname()) as client:
        assert client.recv(1) == b"H"
        until(lambda: _clients(server) == 0, "it hangs up")
    server.stop()


def test_stopping_closes_idle_connections_and_the_listener() -> None:
    with _serving(_hello) as (address,):
        idle = _connect(address)
        _answer(idle)
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=LONG)


def test_stopping_lets_a_request_finish() -> None:
    gate = Gate()
    server_socket = _bound()
    server = Server([server_socket], gate)
    address = server_socket.getsockname()
    server.start()
    with _connect(address) as client:
        gate.inside.get(timeout=LONG)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        gate.open.set()
        assert _answer(client).endswith(b"hello")
        stopping.join(LONG)
    assert not stopping.is_alive()


def test_stopping_answers_also_those_that_still_wait_for_a_thread() -> None:
    gate = Gate()
    listener = _bound()
    server = Server([listener], gate)
    address = listener.getsockname()
    server.start()
    with contextlib.ExitStack() as clients:
        served = [clients.enter_context(_connect(address)) for _ in range(THREADS)]
        for _ in served:
            gate.inside.get(timeout=LONG)
        served += [clients.enter_context(_connect(address)) for _ in range(MAX_REQUESTS - THREADS)]
        assert b" 503 " in _ask(address, CLOSE)  # so all of them have been accepted
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        gate.open.set()
        assert all(_answer(client).endswith(b"hello") for client in served)
        stopping.join(LONG)
    assert not stopping.is_alive()


def test_a_client_of_a_stopped_server_waits_for_the_next_on_the_same_socket() -> None:
    listener = _bound()
    address = listener.getsockname()
    with listener.dup() as kept:
        server = Server([listener], _hello)
        server.start()
        assert _ask(address).endswith(b"hello")
        server.stop()
        with _connect(address) as client:
            following = Server([kept.dup()], _hello)
            following.start()
            assert _answer(client).endswith(b"hello")
            following.stop()


def _moves(server: Server) -> bool:
    server.ping()
    deadline = time.monotonic() + LONG
    while not server.responded() and time.monotonic() < deadline:
        pass
    return server.responded()


def test_a_server_that_is_poked_moves() -> None:
    listener = _bound()
    server = Server([listener], _hello)
    server.ping()
    assert not server.responded()
    server.start()
    assert _moves(server)
    assert _ask(listener.getsockname()).endswith(b"hello")
    assert _moves(server)
    server.stop()


def test_a_request_that_hangs_for_several_timeouts_is_no_movement() -> None:
    gate = Gate()
    listener = _bound()
    server = Server([listener], gate, timeout=0.05)
    server.start()
    assert _moves(server)
    with _connect(listener.getsockname()):
        gate.inside.get(timeout=LONG)
        deadline = time.monotonic() + LONG
        while server.responded() and time.monotonic() < deadline:
            pass
        assert not server.responded()
        gate.open.set()
        assert _moves(server)
    server.stop()


@pytest.mark.parametrize("name", ["http", "http-password", "http-page-0"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_no_movement(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(threading.Thread):
        def run(self) -> None:
            if self.name == name:
                raise MemoryError
            super().run()

    monkeypatch.setattr(threading, "Thread", Dying)
    server = Server([_bound()], _hello)
    server.start()
    for thread in server._threads:
        if thread.name == name:
            thread.join(LONG)
    server.ping()
    server._reactor.iterated.set()
    assert not server.responded()
    server.stop()
    if name == "http":
        server._reactor.run()  # closes the sockets


@pytest.mark.parametrize("method", ["advance", "respond", "expire"])
def test_an_error_of_one_connection_costs_that_one(
    method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, broken = getattr(Connection, method), [True]

    def breaking(connection: Connection, *arguments: Any) -> Any:
        if broken and broken.pop():
            raise ValueError("of some kind")
        return original(connection, *arguments)

    monkeypatch.setattr(Connection, method, breaking)
    timeout = 0.1 if method == "expire" else LONG
    with _serving(_hello, timeout=timeout) as (address,):
        with socket.create_connection(address, timeout=LONG) as client:
            client.sendall(b"G" if method == "expire" else GET)
            with contextlib.suppress(ConnectionResetError):  # closed with input unread
                assert client.recv(4096) == b""
        assert _ask(address).endswith(b"hello")
    assert caplog.messages == ["HTTP: closed a connection: ValueError: of some kind"]


def test_stopping_ends_at_its_timeout(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    listener = _bound()
    server = Server([listener], gate)
    address = listener.getsockname()
    server.start()
    with _connect(address):
        gate.inside.get(timeout=LONG)
        server.stop(timeout=0.1)
        assert caplog.messages == ["an HTTP request is still not answered after 0.1 s"]
        gate.open.set()
    for worker in _workers():
        worker.join(LONG)


def test_a_first_request_that_is_on_its_way_when_it_stops_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probed.exporter.http_server.reactor._GRACE_SECONDS", LONG)
    listener = _bound()
    address = listener.getsockname()
    server = Server([listener], _hello)
    server.start()
    with socket.create_connection(address, LONG) as late, socket.create_connection(address, LONG) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).endswith(b"hello")
        until(lambda: _clients(server) == 2, "both are there")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.recv(4096) == b""  # it has had its answer
        late.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _answer(late).endswith(b"hello")
        stopping.join(LONG)
    assert not stopping.is_alive()


def test_a_silent_client_does_not_keep_the_server_from_stopping() -> None:
    listener = _bound()
    server = Server([listener], _hello)
    server.start()
    with socket.create_connection(listener.getsockname(), LONG) as silent:
        _wait_for_clients(server, 1)
        server.stop()
        assert silent.recv(4096) == b""


def test_the_heap_is_trimmed_once_after_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed = list[int]()
    listener = _bound()
    server = Server([listener], _hello)
    monkeypatch.setattr("probed.linux.syscalls.trim_heap", lambda: trimmed.append(_clients(server)))
    server.start()
    for crowd in (63, 67):
        with contextlib.ExitStack() as clients:
            for _ in range(crowd):
                clients.enter_context(socket.create_connection(listener.getsockname(), LONG))
            _wait_for_clients(server, crowd)
            assert trimmed == []
        _wait_for_clients(server, 0)
    until(lambda: trimmed, "memory is given back")
    assert _ask(listener.getsockname()).endswith(b"hello")
    server.stop()
    assert len(trimmed) == 1
    assert trimmed[0] <= 8


def test_stopping_twice_is_stopping_once() -> None:
    listener = _bound()
    server = Server([listener], _hello)
    server.start()
    assert _ask(listener.getsockname()).endswith(b"hello")
    server.stop()
    assert _workers() == []
    server.stop()
    assert _workers() == []


def test_no_thread_keeps_the_process_alive() -> None:
    with _serving(_hello):
        assert all(worker.daemon for worker in _workers())


def test_listen_pid_in_the_environment_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with _serving(_hello) as (address,):
        assert _ask(address).endswith(b"hello")


def test_no_descriptor_left_is_waited_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    listener = _bound()
    address = listener.getsockname()
    failures = [OSError(errno.EMFILE, "Too many open files")]

    class Full(socket.socket):
        def accept(self) -> Any:
            if failures:
                raise failures.pop()
            return super().accept()

    monkeypatch.setattr("probed.exporter.http_server.reactor._PAUSE", 0)
    server = Server([Full(fileno=listener.detach())], _hello)
    server.start()
    assert _ask(address).endswith(b"hello")
    server.stop()
    assert caplog.messages == ["HTTP: cannot accept a connection: Too many open files"]


SERVE_EVERYTHING = """
import logging, socket, sys
import numpy as np
from probed.exporter.exposition.family import Family
from probed.exporter.pages.application import Application
from probed.exporter.pages.landing_page import Landing
from probed.exporter.self_metrics.daemon import Build, DaemonStats, WorkStats
from probed.exporter.self_metrics.probes import ProbeSnapshot
from probed.exporter.self_metrics.process import Process
from probed.exporter.self_metrics.tables import families
from probed.exporter.http_server.server import Server
from probed.ipc.exporter_messages import ProbeStatus, Status

logging.basicConfig(level=logging.DEBUG)
probes = (ProbeStatus("p", "d", False, "verifier", "<é>", {}),)
status = Status(
    probes=probes, bcc_version="", reload_successful=True, reload_success_time=1.5, exporter_restarts=0
)
process = Process(1.0)
broken, unready = [], []

def scrape(scraper):
    if broken:
        raise OSError(broken.pop(), "a map is gone")
    odd = Family("x_seconds", "histogram", "h", ("comm",), [("é\\n",)], np.zeros(0), (0.1,),
                 np.array([[1, 10**7]], np.uint64), np.array([1e300]))
    daemon = DaemonStats(Build("1", "3", "", "6"), status, WorkStats(), 0)
    return [odd, *families(daemon, ProbeSnapshot(probes, [])), *process.families()]

def landing():
    return Landing("1", "/metrics", "not", probes)

def ask(request):
    if b"\\r\\n" not in request:
        request += b" HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"
    with socket.socket() as client:
        client.settimeout(30)
        client.connect(address)  # create_connection would import encodings.idna, and blame the server
        client.sendall(request)
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer.split(b" ", 2)[1].decode() if answer else "-"

listener = socket.create_server(("127.0.0.1", 0))
address = listener.getsockname()
application = Application("/metrics", scrape, lambda: "no" if unready else "", landing)
before = set(sys.modules)
server = Server([listener], application, timeout=0.5)
server.start()
end = b" HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
codes = [ask(b"GET /metrics"), ask(b"HEAD /metrics"), ask(b"GET /metrics?name[]=x_seconds%5fsum&a=%ff%20+;")]
codes += [ask(b"GET /metrics" + end + b"Accept-Encoding: gzip, br;q=0.1\\r\\n\\r\\n")]
codes += [ask(b"GET /metrics" + end + b"Accept: application/openmetrics-text;version=1.0.0\\r\\n\\r\\n")]
codes += [ask(b"GET /"), ask(b"GET /-/healthy"), ask(b"GET /-/ready")]
codes += [ask(b"GET /%c3%a9%zz?%%"), ask(b"POST /metrics")]
unready.append(1)
broken.append(9)
codes += [ask(b"GET /-/ready"), ask(b"GET /metrics"), ask(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")]
codes += [ask(b"garbage\\r\\n\\r\\n"), ask(b"GET / HTTP/1.1\\r\\nX: " + b"x" * 20000 + b"\\r\\n\\r\\n")]
codes += [ask(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9999\\r\\n\\r\\n" + b"x" * 2000)]
codes += [ask(b"GET http://[::1/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")]
codes += [ask(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\nExpect: 100-continue\\r\\n"
              b"Connection: close\\r\\n\\r\\n0\\r\\n\\r\\n")]
codes += [ask(b"GET /slow HTTP/1.1\\r\\nX"), ask(b"OPTIONS * HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")]
server.stop()
print(*codes)
print(*sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_once_requests_come() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SERVE_EVERYTHING], env=environment, capture_output=True, text=True, check=False
    )
    codes, imported = done.stdout.splitlines() if done.stdout else (done.stderr, "")
    assert codes == "200 200 200 200 200 200 200 200 404 405 503 500 200 400 431 413 400 200 408 404"
    assert imported == ""
