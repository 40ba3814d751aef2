# SPDX-License-Identifier: Apache-2.0
"""The client: TLS and authentication from the files of a site and of the client, and bounds of an answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from probed.client import http_client, http_config
from probed.client.http_client import Answer, Endpoint, fetch, find_endpoint
from probed.errors import DeclarationError, HostError
from probed.webconfig.listen_address import Address
from support.certificates import Authority


def client(folder: Path, text: str) -> http_config.HttpConfiguration:
    path = folder / "http.yaml"
    path.write_text(text)
    return http_config.read(str(path))


@pytest.fixture
def site(tmp_path: Path) -> str:
    """A web configuration with an absent private key."""
    signed = Authority(tmp_path).sign("server", "DNS:elsewhere.example")
    signed.key.unlink()
    path = tmp_path / "web.yaml"
    path.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    return str(path)


def test_without_any_file_the_daemon_is_asked_in_plain_http() -> None:
    assert find_endpoint(None, http_config.read(None)) == Endpoint()


def test_the_certificate_that_the_site_names_is_expected(site: str, tmp_path: Path) -> None:
    endpoint = find_endpoint(site, http_config.read(None))
    assert endpoint.expected == ssl.PEM_cert_to_DER_cert((tmp_path / "server.pem").read_text())


def test_authorities_of_the_client_come_before_the_files_of_the_site(site: str, tmp_path: Path) -> None:
    given = client(tmp_path, "tls_config: {ca_file: authority.pem, server_name: elsewhere.example}\n")
    for web in (site, "absent.yaml"):
        endpoint = find_endpoint(web, given)
        assert (endpoint.expected, endpoint.server_name) == (None, "elsewhere.example")
        assert endpoint.context
        assert (endpoint.context.verify_mode, endpoint.context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_without_any_certificate_to_compare_those_of_the_system_count(tmp_path: Path) -> None:
    endpoint = find_endpoint(None, client(tmp_path, "tls_config: {}\n"))
    assert endpoint.expected is None
    assert endpoint.context
    assert (endpoint.context.verify_mode, endpoint.context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("how", ["password: sesame", "password_file: secret"])
def test_a_password_stands_in_a_file(tmp_path: Path, how: str) -> None:
    (tmp_path / "secret").write_text("sesame\n")
    endpoint = find_endpoint(None, client(tmp_path, f"basic_auth: {{username: ann, {how}}}\n"))
    assert endpoint.authorization == "Basic YW5uOnNlc2FtZQ=="


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_config: {insecure_skip_verify: true}", "http.yaml:1: tls_config.insecure_skip_verify: any server"),
        ("tls_config: {cert_file: a.pem}", "'cert_file' and 'key_file' belong together"),
        ("basic_auth: {username: ann}", "one of 'password' and 'password_file'"),
        ("basic_auth: {username: ann, password: a, password_file: b}", "one of 'password' and 'password_file'"),
        ("basic_auth: {user: ann, password: a}", "did you mean 'username'"),
        ("basic_auth: {username: ann, password_file: absent}", "absent: cannot be read"),
        ("bearer_token: x", "bearer_token"),
    ],
)
def test_a_mistake_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        find_endpoint(None, client(tmp_path, text))
    assert said in str(refused.value)


def test_files_that_are_no_certificates_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("a")
    for text in ("tls_config: {ca_file: a.pem}", "tls_config: {cert_file: a.pem, key_file: a.pem}"):
        with pytest.raises(HostError, match=r"http\.yaml: tls_config: OpenSSL cannot use"):
            find_endpoint(None, client(tmp_path, text))


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[tuple[Address, list[bytes]]]:
    """Serve one connection in a thread; yield the address, and a list that gets the request."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connected, _ = listener.accept()
            with connected, suppress(ConnectionError):
                requests.append(connected.recv(65536))
                answer(connected)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1]), requests
        thread.join()


def endless(head: bytes, chunk: bytes) -> Callable[[socket.socket], None]:
    def answer(connected: socket.socket) -> None:
        connected.sendall(head)
        while True:
            connected.sendall(chunk)

    return answer


def test_an_endless_answer_is_given_up_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "MAX_BYTES", 1 << 20)
    with answering(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)) as (address, _):
        answer = fetch(address, "/metrics", Endpoint())
    assert answer == Answer(0, "ConnectionAbortedError: the answer has more than 1 MiB")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["interim answers", "body"])
def test_an_answer_without_end_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(http_client, "DEADLINE", 0.2)
    chunk = b"x" if head else b"HTTP/1.1 100 Continue\r\n\r\n"
    with answering(endless(head, chunk)) as (address, _):
        answer = fetch(address, "/metrics", Endpoint())
    by_python = "HTTPException: got more than 100 interim responses"  # since 3.14
    assert answer in (Answer(0, "TimeoutError: no whole answer within 0.2 s"), Answer(0, by_python))


def test_a_password_is_not_sent_to_the_socket_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "foreign_owner", lambda _: "mallory")
    with answering(lambda _: None) as (address, requests):
        answer = fetch(address, "/metrics", Endpoint(authorization="Basic YW5uOnNlc2FtZQ=="))
    assert requests == [b""]
    assert answer
    assert (answer.status, "user 'mallory' listens there, so no password was sent" in answer.text) == (0, True)


def test_a_password_is_sent_to_a_socket_of_ours() -> None:
    with answering(lambda connected: connected.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")) as (address, requests):
        assert fetch(address, "/metrics", Endpoint(authorization="Basic YW5uOnNlc2FtZQ==")) == Answer(204, "")
    assert b"Authorization: Basic YW5uOnNlc2FtZQ==" in requests[0]
