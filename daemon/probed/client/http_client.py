# SPDX-License-Identifier: Apache-2.0
"""Asking a running daemon for one of its pages, as `doctor` and `list --live` do.

Behind TLS the daemon must show the very certificate that the site's web configuration names: who can read that needs
neither an authority nor the right host name. Else it is verified as usual. Nothing is said to anybody before that.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probed.client.http_config import HttpConfiguration
from probed.errors import HostError
from probed.webconfig import reader
from probed.webconfig.listen_address import Address

if TYPE_CHECKING:
    import ssl

SECONDS = 5.0

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to find who listens on all interfaces."""

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP status and the page; status 0 where something answered that was not HTTP, `text` saying what."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to come in: `context` None is plain HTTP, `expected` the daemon's certificate as DER, None: any verified."""

    context: ssl.SSLContext | None = None
    expected: bytes | None = None
    server_name: str | None = None
    authorization: str = ""


def find_endpoint(web_config_file: str | None, client: HttpConfiguration) -> Endpoint:
    """Find out how the daemon of a site is asked. Raises DeclarationError and HostError."""
    authorization = client.authorization()
    shown = None
    if web_config_file and not (client.tls_config and client.tls_config.ca_file):
        shown = reader.certificate(web_config_file)
    if shown is None and client.tls_config is None:
        return Endpoint(authorization=authorization)
    expected = _der(shown) if shown else None
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
    raise ValueError("the private key is encrypted, and nobody is asked for a password")


def ask(address: Address, path: str, endpoint: Endpoint) -> Answer | None:
    """Ask for a page; None when nobody listens there."""
    host = _LOOPBACK.get(address.host, address.host)
    connection = http.client.HTTPConnection(host, address.port, timeout=SECONDS)
    try:
        connection.connect()
        if endpoint.context:
            _encrypt(connection, endpoint.context, endpoint, host)
        headers = {"Authorization": endpoint.authorization} if endpoint.authorization else {}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def _encrypt(connection: http.client.HTTPConnection, context: ssl.SSLContext, endpoint: Endpoint, host: str) -> None:
    encrypted = context.wrap_socket(connection.sock, server_hostname=endpoint.server_name or host)
    connection.sock = encrypted
    if endpoint.expected and encrypted.getpeercert(binary_form=True) != endpoint.expected:
        raise ConnectionAbortedError("the certificate is not the one that the site's web configuration names")
