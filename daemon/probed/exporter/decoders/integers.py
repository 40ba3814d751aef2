# SPDX-License-Identifier: Apache-2.0
"""Decoders of integers: `integer`, `hex`, and by a table `enum` and `kernel_enum`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def integer(value: int | bytes) -> str:
    """Return an integer in decimal."""
    return str(value)


def hexadecimal(value: int | bytes) -> str:
    """Return an integer as 0x…, a negative one with its sign."""
    return hex(int(value))


def enum(table: Mapping[int, str]) -> Callable[[int | bytes], str]:
    """Return the decoder of an enum: the table's text, or the number where the table has none."""
    return lambda value: table.get(int(value), str(value))
