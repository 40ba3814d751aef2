# SPDX-License-Identifier: Apache-2.0
"""Requests a page from a running daemon, for `doctor`, `list --live` and `top`.

With TLS the daemon must present the certificate that the site's web configuration names; this needs neither an
authority nor the right host name. Without such a certificate the usual verification applies. The client sends no
password before the daemon is verified: over plain HTTP, `port_owner` looks at the user of the listening socket.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from probed.client.http_config import HttpConfiguration
from probed.client.port_owner import foreign_owner
from probed.errors import HostError
from probed.frozen import frozen
from probed.webconfig import reader
from probed.webconfig.listen_address import Address

if TYPE_CHECKING:
    import ssl

SECONDS = 5.0
"""Time-out of one step: a connection, or the next bytes."""

DEADLINE = 30.0
"""Time-out of a whole request, against a server that sends a byte now and then."""

MAX_BYTES = 64 << 20
"""Limit of a page's size: 100,000 series a metric are about 20 MB."""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to connect to where the daemon listens on all interfaces."""

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class Answer:
    """HTTP status and page; status 0 for an error instead of an answer. The text may hold escape sequences."""

    status: int
    text: str


@frozen
class Endpoint:
    """TLS and authentication of a daemon.

    `context` None is plain HTTP. `expected` is the daemon's certificate as DER; None accepts any verified one.
    """

    context: ssl.SSLContext | None = None
    expected: bytes | None = None
    server_name: str | None = None
    authorization: str = ""


def find_endpoint(web_config_file: str | None, client: HttpConfiguration) -> Endpoint:
    """Choose TLS and authentication for a site's daemon. Raises DeclarationError and HostError."""
    authorization = client.authorization()
    presented = None
    if web_config_file and not (client.tls_config and client.tls_config.ca_file):
        presented = reader.certificate(web_config_file)
    if presented is None and client.tls_config is None:
        return Endpoint(authorization=authorization)
    expected = _der(presented) if presented else None
    name = client.tls_config.server_name if client.tls_config else None
    return Endpoint(_context(client, expected), expected, name, authorization)


def _der(pem: str) -> bytes | None:
    import ssl

    first = _CERTIFICATE.search(pem)
    return ssl.PEM_cert_to_DER_cert(first[0]) if first else None


def _context(client: HttpConfiguration, expected: bytes | None) -> ssl.SSLContext:
    import ssl

    tls = client.tls_config
    try:
        made = ssl.create_default_context(cafile=client.path(tls.ca_file) if tls and tls.ca_file else None)
        if expected:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if tls and tls.cert_file and tls.key_file:
            made.load_cert_chain(client.path(tls.cert_file), client.path(tls.key_file), password=_refuse)
    except (OSError, ValueError) as error:
        raise HostError(f"{client.source.path}: tls_config: OpenSSL cannot use its files: {error}") from error
    return made


def _refuse() -> str:
    raise ValueError("the private key is encrypted, and probed asks for no password")


def fetch(address: Address, path: str, endpoint: Endpoint, accept: str = "") -> Answer | None:
    """Request a page in the format of the header `accept`; return None where no process listens at the address."""
    host = _LOOPBACK.get(address.host, address.host)
    connection = http.client.HTTPConnection(host, address.port, timeout=SECONDS)
    try:
        connection.connect()
        with _deadline(connection.sock):
            _verify(connection, endpoint, host)
            headers = {"Authorization": endpoint.authorization, "Accept": accept}
            connection.request("GET", path, headers={name: value for name, value in headers.items() if value})
            response = connection.getresponse()
            return Answer(response.status, _body(response))
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()


@contextmanager
def _deadline(connected: socket.socket) -> Iterator[None]:
    """Shut the connection down after `DEADLINE` seconds. Raises TimeoutError then."""
    passed = threading.Event()
    with connected.dup() as same:

        def end() -> None:
            passed.set()
            with suppress(OSError):  # the daemon has closed the connection
                same.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(DEADLINE, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if passed.is_set():
                raise TimeoutError(f"no whole answer within {DEADLINE:g} s")


def _verify(connection: http.client.HTTPConnection, endpoint: Endpoint, host: str) -> None:
    """Verify the daemon before a password is sent: by its certificate, or by the owner of a local port."""
    if endpoint.context:
        encrypted = endpoint.context.wrap_socket(connection.sock, server_hostname=endpoint.server_name or host)
        connection.sock = encrypted
        if endpoint.expected and encrypted.getpeercert(binary_form=True) != endpoint.expected:
            raise ConnectionAbortedError("the certificate is not the one that the site's web configuration names")
    elif endpoint.authorization:
        owner = foreign_owner(connection.sock)
        if owner is not None:
            raise ConnectionAbortedError(
                f"user '{owner}' listens there, so no password was sent; end that program, or use TLS"
            )


def _body(response: http.client.HTTPResponse) -> str:
    data = response.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConnectionAbortedError(f"the answer has more than {MAX_BYTES >> 20} MiB")
    return data.decode(errors="replace")
