# SPDX-License-Identifier: Apache-2.0
"""Listen addresses as options and the site configuration write them. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LABEL: Final = "(?!-)[A-Za-z0-9_-]{1,63}"
_HOST_NAME: Final = rf"{_LABEL}([.]{_LABEL})*[.]?"
"""A host name with Go's leniency: underscores and a final dot are permitted, and getaddrinfo(3) decides."""
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"{_BYTE}([.]{_BYTE}){{3}}"


class Address(NamedTuple):
    """A listen address: host name, IP address or "" for all interfaces, and port (0: any free port).

    ``::`` is all interfaces too, with IPv4, as in Go.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def all_interfaces(self) -> bool:
        """Whether the address takes IPv6 and IPv4 connections on every interface."""
        return self.host in ("", "::")


def parse_address(text: str) -> Address:
    """Parse a listen address: ``127.0.0.1:9788``, ``localhost:9788``, ``[::1]:9788`` or ``:9788``.

    Raises ValueError with the expected form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        proposal = f":{text}" if re.fullmatch("[0-9]{1,5}", text) else f"{text}:9788"
        raise ValueError(f"expected host:port, found '{text}' without a port; '{proposal}' would do")
    if re.fullmatch("[0-9]{1,5}", port) is None or int(port) > 65535:
        raise ValueError(f"expected a port from 0 to 65535 after the last ':', found '{text}'")
    return Address(_host(host, port), int(port))


def _host(host: str, port: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host == f"[{bare}]"
    if ":" in bare:
        return _ipv6(bare, bracketed, port)
    if bracketed and re.fullmatch(_IPV4, bare):
        return bare
    if bracketed or (host and (len(host) > 254 or re.fullmatch(_HOST_NAME, host) is None)):
        raise ValueError(f"expected an address or a host name before the port, found '{host}'")
    return _ipv4(host) if re.fullmatch("[0-9.]+", host) else host


def _ipv4(host: str) -> str:
    if re.fullmatch(_IPV4, host) is None:
        raise ValueError(f"expected an IPv4 address such as 127.0.0.1, found '{host}'")
    return host


def _ipv6(host: str, bracketed: bool, port: str) -> str:
    import ipaddress  # 0.3 MB in the supervisor, and few sites need the module

    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError(
            f"expected one host:port, found '{host}:{port}'; an IPv6 address is like [::1]:9788"
        ) from error
    if not bracketed:
        raise ValueError(f"an IPv6 address stands in brackets: '[{host}]:{port}'")
    if address.is_link_local and address.scope_id is None:
        raise ValueError(f"a link-local address needs its interface, as in '[{host}%eth0]:{port}', found '[{host}]'")
    return host
