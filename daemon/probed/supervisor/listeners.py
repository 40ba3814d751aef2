# SPDX-License-Identifier: Apache-2.0
"""Binds the addresses that the site wants; the exporter serves on them, whatever becomes of it meanwhile."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from probed.address import Address
from probed.errors import HostError


def bind(addresses: Iterable[Address]) -> list[socket.socket]:
    """Bind and listen on every address. Raises HostError that says what to do."""
    return [listener for address in addresses for listener in _bind(address)]


def _bind(address: Address) -> list[socket.socket]:
    if not address.host:
        return [_all_interfaces(address)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise HostError(f"cannot listen on {address}: host '{address.host}' is not known ({error.strerror})") from error
    family, _, _, _, sockaddr = found[0]
    try:
        return [socket.create_server(sockaddr[:2], family=family, backlog=128)]
    except OSError as error:
        raise _refused(address, error) from error


def _all_interfaces(address: Address) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        return socket.create_server(("", address.port), backlog=128)
    except OSError as error:
        raise _refused(address, error) from error


def _refused(address: Address, error: OSError) -> HostError:
    remedies = {
        errno.EADDRINUSE: f"something else listens there (ss -ltnp 'sport = :{address.port}' shows what); end it, or "
        "choose another port with --web.listen-address or web.listen_addresses",
        errno.EACCES: "ports below 1024 need privilege; choose another with --web.listen-address",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
    }
    number = error.errno or 0
    remedy = remedies.get(number, "see web.listen_addresses in the site configuration")
    return HostError(f"cannot listen on {address}: {os.strerror(number)}: {remedy}")


def url(listener: socket.socket, path: str) -> str:
    """Return where a browser on this machine finds `path`."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "localhost"}.get(host, host)
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
