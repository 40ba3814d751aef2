# SPDX-License-Identifier: Apache-2.0
"""Binds the listen addresses. The sockets outlive the exporter, so clients wait while a new one starts."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from probed.errors import HostError
from probed.webconfig.listen_address import Address

SocketAddress = tuple[int, tuple[Any, ...], bool]
"""Address family, socket address with an IPv6 address's scope, and whether an IPv6 socket accepts IPv4 too."""


def bind(addresses: Iterable[Address], kept: Sequence[socket.socket] = ()) -> list[socket.socket]:
    """Listen on every address, with the kept socket of the same address if there is one; close other kept sockets.

    Raises HostError with the remedy.
    """
    places = [(address, _resolve(address)) for address in addresses]
    left = {_place(each): each for each in kept}
    reused = {place: left.pop(place) for _, place in places if place in left}
    for each in left.values():
        each.close()
    return [reused.get(place) or _bind(address, place) for address, place in places]


def activated(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """Return the sockets of a .socket unit. Raises HostError for no socket or one of another kind."""
    if not sockets:
        raise HostError("--web.systemd-socket: systemd passed no socket; start the .socket unit (probed.socket)")
    for each in sockets:
        if each.type != socket.SOCK_STREAM or not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise HostError("--web.systemd-socket: a socket does not listen; ListenStream= without Accept=yes does")
    return list(sockets)


def _place(listener: socket.socket) -> SocketAddress:
    ipv6 = listener.family == socket.AF_INET6
    dual = ipv6 and not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return listener.family, listener.getsockname(), dual


def _resolve(address: Address) -> SocketAddress:
    if address.all_interfaces and (address.host or socket.has_dualstack_ipv6()):
        return socket.AF_INET6, ("::", address.port, 0, 0), socket.has_dualstack_ipv6()
    if address.all_interfaces:
        return socket.AF_INET, ("0.0.0.0", address.port), False
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise HostError(f"cannot listen on {address}: host '{address.host}' is not known ({error.strerror})") from error
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr, False


def _bind(address: Address, place: SocketAddress) -> socket.socket:
    family, sockaddr, dual = place
    try:
        return socket.create_server(sockaddr, family=family, dualstack_ipv6=dual, backlog=128)
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


def url(listener: socket.socket, path: str, scheme: str) -> str:
    """Return the URL of `path` for a browser on this machine."""
    host, port, *scope = listener.getsockname()
    host = {"0.0.0.0": "127.0.0.1", "::": "localhost"}.get(host, host)
    if scope and scope[1]:
        host = f"{host}%25{socket.if_indextoname(scope[1])}"  # RFC 6874
    return f"{scheme}://[{host}]:{port}{path}" if ":" in host else f"{scheme}://{host}:{port}{path}"
