# SPDX-License-Identifier: Apache-2.0
"""The server with a web configuration, over real sockets: TLS, client certificates, passwords, a rate."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue

import bcrypt
import pytest

from probed.exporter.http_server.basic_auth import BasicAuth
from probed.exporter.http_server.messages import Request, Response, text
from probed.exporter.http_server.server import GUESSES, Server
from probed.webconfig.settings import ClientAuth, TlsSettings, WebSettings
from support.certificates import Authority, Signed
from support.running_daemon import until

LONG = 30.0
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
Address = tuple[str, int]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Signed:
    return authority.sign("server", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def prometheus(authority: Authority) -> Signed:
    return authority.sign("prometheus", "DNS:prometheus.example", "IP:::1", "email:a@b.example", "URI:spiffe://a/b")


@pytest.fixture
def tls(authority: Authority, identity: Signed) -> TlsSettings:
    return TlsSettings(
        identity.certificate.read_text(), identity.key.read_text(), authority.certificate.read_text(),
        "none", (), "TLS12", "TLS13", "", True, "",
    )  # fmt: skip


@contextlib.contextmanager
def serving(
    settings: WebSettings, application: Callable[[Request], Response] | None = None, timeout: float = LONG
) -> Iterator[tuple[Address, Server]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server([listener], application or (lambda _: text(200, "hello")), timeout=timeout)
    server.configure(settings)
    server.start()
    address = listener.getsockname()
    try:
        yield address, server
    finally:
        server.stop()


def context(authority: Authority, client: Signed | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=authority.certificate)
    if client:
        made.load_cert_chain(client.certificate, client.key)
    return made


def get(address: Address, tls: ssl.SSLContext | None = None, **headers: str) -> tuple[int, dict[str, str]]:
    connection = (
        http.client.HTTPSConnection(*address, timeout=LONG, context=tls)
        if tls
        else http.client.HTTPConnection(*address, timeout=LONG)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.headers)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def clients_of(server: Server) -> int:
    return server.stats().connections


def let_in(address: Address, tls: ssl.SSLContext) -> bool:
    try:
        return get(address, tls)[0] == 200
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return False


@pytest.mark.parametrize(("wanted", "without"), [("none", True), ("optional", True), ("required", False)])
def test_client_auth_decides_whether_a_certificate_is_required(
    authority: Authority, prometheus: Signed, tls: TlsSettings, wanted: ClientAuth, without: bool
) -> None:
    with serving(WebSettings(replace(tls, client_auth=wanted))) as (address, _):
        assert let_in(address, context(authority)) is without
        assert let_in(address, context(authority, prometheus))


@pytest.mark.parametrize("wanted", ["optional", "required"])
def test_a_certificate_of_another_authority_is_refused(
    authority: Authority, tls: TlsSettings, wanted: ClientAuth, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("others"), "others").sign("stranger", "DNS:prometheus.example")
    with serving(WebSettings(replace(tls, client_auth=wanted))) as (address, _):
        assert not let_in(address, context(authority, stranger))


@pytest.mark.parametrize(
    ("san", "expected"),
    [("prometheus.example", True), ("::1", True), ("a@b.example", True), ("spiffe://a/b", True), ("other", False)],
)
def test_only_certificates_with_an_allowed_name_are_accepted(
    authority: Authority, prometheus: Signed, tls: TlsSettings, san: str, expected: bool
) -> None:
    with serving(WebSettings(replace(tls, client_auth="required", allowed_sans=(san,)))) as (address, _):
        assert let_in(address, context(authority, prometheus)) is expected


def test_a_certificate_with_a_name_that_is_not_utf_8_costs_its_own_connection_only(
    authority: Authority, prometheus: Signed, tls: TlsSettings
) -> None:
    odd = authority.sign("odd", "DNS:caf\udce9.example")
    assert b"caf\xe9.example" in ssl.PEM_cert_to_DER_cert(odd.certificate.read_text())
    settings = WebSettings(replace(tls, client_auth="required", allowed_sans=("prometheus.example",)))
    with serving(settings) as (address, server):
        assert not let_in(address, context(authority, odd))
        assert let_in(address, context(authority, prometheus))
        server.ping()
        until(server.responded, "all threads are alive")


def test_an_error_of_the_password_thread_costs_one_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    verify = BasicAuth.verify_password

    def broken(basic_auth: BasicAuth, authorization: str) -> bool:
        if authorization == basic("alice", "odd"):
            raise ValueError("Invalid salt")
        return verify(basic_auth, authorization)

    monkeypatch.setattr(BasicAuth, "verify_password", broken)
    with serving(WebSettings(users={"alice": HASH})) as (address, server):
        assert get(address, Authorization=basic("alice", "odd"))[0] == 500
        assert get(address, Authorization=basic("alice", "secret"))[0] == 200
        server.ping()
        until(server.responded, "all threads are alive")
    assert caplog.messages == ["HTTP: cannot answer a request: ValueError: Invalid salt"]


def test_a_version_that_is_not_spoken_is_refused(authority: Authority, tls: TlsSettings) -> None:
    old = context(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(WebSettings(replace(tls, minimum="TLS13"))) as (address, _):
        assert not let_in(address, old)
        assert let_in(address, context(authority))


def test_the_cipher_suite_is_the_one_that_was_chosen(authority: Authority, tls: TlsSettings) -> None:
    chosen = replace(tls, maximum="TLS12", ciphers="ECDHE-ECDSA-CHACHA20-POLY1305", curve="secp384r1")
    with (
        serving(WebSettings(chosen)) as (address, _),
        socket.create_connection(address, timeout=LONG) as plain,
        context(authority).wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        cipher = client.cipher()
        assert cipher is not None
        assert cipher[:2] == ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2")


def test_a_large_page_arrives_whole_over_tls(authority: Authority, tls: TlsSettings) -> None:
    body = bytes(range(256)) * 40_000
    with serving(WebSettings(tls), lambda _: Response(200, "text/plain", body)) as (address, _):
        connection = http.client.HTTPSConnection(*address, timeout=LONG, context=context(authority))
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read() == body
        connection.close()


def test_clients_without_tls_or_stuck_in_the_handshake_delay_no_other(authority: Authority, tls: TlsSettings) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with serving(WebSettings(tls), timeout=0.5) as (address, server), contextlib.ExitStack() as clients:
        for said in (hello, b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 5000) * 20:
            client = clients.enter_context(socket.create_connection(address, timeout=LONG))
            client.sendall(said)
        assert let_in(address, context(authority))
        until(lambda: clients_of(server) == 0, "all of them are hung up on")


def test_certificates_change_for_new_connections_and_old_ones_end(authority: Authority, tls: TlsSettings) -> None:
    newer = authority.sign("newer", "IP:127.0.0.1")

    def seen(connection: http.client.HTTPSConnection) -> bytes | None:
        connection.request("GET", "/")
        connection.getresponse().read()
        return connection.sock.getpeercert(True) if connection.sock else None

    with serving(WebSettings(tls)) as (address, server):
        kept = http.client.HTTPSConnection(*address, timeout=LONG, context=context(authority))
        first = seen(kept)
        assert seen(kept) == first is not None
        newer_tls = replace(tls, certificate=newer.certificate.read_text(), key=newer.key.read_text())
        server.configure(WebSettings(newer_tls))
        seen(kept)
        kept.close()
        assert seen(kept) == ssl.PEM_cert_to_DER_cert(newer.certificate.read_text())
        kept.close()


def test_users_are_let_in_with_their_password_alone() -> None:
    with serving(WebSettings(users={"alice": HASH})) as (address, _):
        for _ in range(2):
            assert get(address, Authorization=basic("alice", "secret"))[0] == 200
            assert get(address, Authorization=basic("alice", "wrong"))[0] == 401
            assert get(address, Authorization=basic("bob", "secret"))[0] == 401
        status, headers = get(address)
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="probed", charset="UTF-8"')


def test_users_change_at_once() -> None:
    with serving(WebSettings(users={"alice": HASH})) as (address, server):
        assert get(address, Authorization=basic("alice", "secret"))[0] == 200
        server.configure(WebSettings(users={"bob": HASH}))
        assert get(address, Authorization=basic("alice", "secret"))[0] == 401
        assert get(address, Authorization=basic("bob", "secret"))[0] == 200


def test_guessing_delays_no_client_with_a_known_password(monkeypatch: pytest.MonkeyPatch) -> None:
    release: SimpleQueue[None] = SimpleQueue()
    verify: Callable[[BasicAuth, str], bool] = BasicAuth.verify_password

    def slow(passwords: BasicAuth, authorization: str) -> bool:
        if authorization != basic("alice", "secret"):
            release.get(timeout=LONG)
        return verify(passwords, authorization)

    monkeypatch.setattr(BasicAuth, "verify_password", slow)
    with serving(WebSettings(users={"alice": HASH})) as (address, _), contextlib.ExitStack() as clients:
        assert get(address, Authorization=basic("alice", "secret"))[0] == 200
        for number in range(GUESSES + 5):
            client = clients.enter_context(socket.create_connection(address, timeout=LONG))
            guess = basic("alice", str(number))
            client.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {guess}\r\n\r\n".encode())
        assert get(address, Authorization=basic("alice", "secret"))[0] == 200
        assert client.recv(12) == b"HTTP/1.1 503"
        for _ in range(GUESSES + 5):
            release.put(None)


def test_the_rate_is_bounded() -> None:
    with serving(WebSettings(interval=3600.0, burst=3)) as (address, _):
        assert [get(address)[0] for _ in range(5)] == [200, 200, 200, 429, 429]


def test_every_answer_has_the_headers_that_are_wanted() -> None:
    headers = {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=1"}
    with serving(WebSettings(headers=headers, users={"alice": HASH})) as (address, _):
        for authorization in ("", basic("alice", "secret"), basic("alice", "x")):
            assert headers.items() <= get(address, Authorization=authorization)[1].items()
        with socket.create_connection(address, timeout=LONG) as client:
            client.sendall(b"garbage\r\n\r\n")
            assert b"X-Frame-Options: deny\r\n" in client.recv(4096)
