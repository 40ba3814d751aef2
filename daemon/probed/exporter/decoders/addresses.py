# SPDX-License-Identifier: Apache-2.0
"""Network addresses: the decoder `ip`. Pure."""

from __future__ import annotations

import sys


def address(value: int | bytes) -> str:
    """Return an IP address as text, from the bytes on the wire.

    An integer is a __be32 as the kernel has it, so IPv4; 16 bytes are IPv6. An IPv4 address mapped into IPv6
    (::ffff:192.0.2.1, as a socket of both families shows) is the IPv4 address: both are one peer.
    Source: RFC 4291, 2.5.5.2; RFC 5952.
    """
    if isinstance(value, int):
        return ".".join(map(str, (value & 0xFFFFFFFF).to_bytes(4, sys.byteorder)))
    if len(value) != 16:
        return value.hex()
    import ipaddress  # 0.3 MB, of use to few sites

    found = ipaddress.IPv6Address(value)
    return str(found.ipv4_mapped or found)
