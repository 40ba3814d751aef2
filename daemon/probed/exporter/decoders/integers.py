# SPDX-License-Identifier: Apache-2.0
"""Numbers that stay numbers: the decoders `integer` and `hex`. Pure."""

from __future__ import annotations


def integer(value: int | bytes) -> str:
    """Return an integer in decimal."""
    return str(value)


def hexadecimal(value: int | bytes) -> str:
    """Return an integer as 0x…, a negative one with its sign."""
    return hex(int(value))
