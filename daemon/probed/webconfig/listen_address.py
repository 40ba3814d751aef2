# SPDX-License-Identifier: Apache-2.0
"""Listen addresses as options and the site configuration write them. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_HOST_NAME: Final = "(?!-)[A-Za-z0-9-]{1,63}([.](?!-)[A-Za-z0-9-]{1,63})*"
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"{_BYTE}([.]{_BYTE}){{3}}"


class Address(NamedTuple):
    """Where to listen: `host` is a name, an address, or empty for all interfaces; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read a listen address: ``127.0.0.1:9788``, ``localhost:9788``, ``[::1]:9788`` or ``:9788``.

    Raises ValueError, saying what was expected.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"expected host:port, found '{text}' without a port; '{text}:9788' would do")
    if re.fullmatch("[0-9]{1,5}", port) is None or int(port) > 65535:
        raise ValueError(f"expected a port from 0 to 65535 after the last ':', found '{text}'")
    return Address(_host(host, port), int(port))


def _host(host: str, port: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host == f"[{bare}]"
    if ":" in bare:
        return _ipv6(bare, bracketed, port)
    if bracketed or (host and re.fullmatch(_HOST_NAME, host) is None):
        raise ValueError(f"expected an address or a host name before the port, found '{host}'")
    return _ipv4(host) if re.fullmatch("[0-9.]+", host) else host


def _ipv4(host: str) -> str:
    if re.fullmatch(_IPV4, host) is None:
        raise ValueError(f"expected an IPv4 address, found '{host}'; one is like 127.0.0.1")
    return host


def _ipv6(host: str, bracketed: bool, port: str) -> str:
    import ipaddress  # 0.3 MB of the supervisor, of use to few sites

    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError(
            f"expected one host:port, found '{host}:{port}'; an IPv6 address is like [::1]:9788"
        ) from error
    if not bracketed:
        raise ValueError(f"an IPv6 address stands in brackets: '[{host}]:{port}'")
    return host
