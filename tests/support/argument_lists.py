# SPDX-License-Identifier: Apache-2.0
"""97 argument lists for the workload spawn_lists, and the form in which the workload reads lists."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

COUNT: Final = 97
LONG_BYTES: Final = 30 << 10
MANY: Final = 300
ODD: Final = (
    b"line\nbreak",
    b"\x1b[31mred\x1b[0m",
    b"\xff\xfe not UTF-8 \x80",
    "ünïcode".encode(),
    b"back\\slash",
    b'"',
    b"",
)
"""A newline, an escape sequence, bytes that are not UTF-8, other letters, and characters that shells quote."""


def argument_lists() -> list[list[bytes]]:
    """Return lists that all differ: one of 30 KiB, one of 300 arguments, one of odd bytes, and ordinary ones."""
    lists = [[b"long", b"x" * LONG_BYTES], [b"many", *(b"%d" % n for n in range(MANY - 1))], [b"odd", *ODD]]
    return lists + [[b"list", b"%d" % n, b"a" * n] for n in range(COUNT - len(lists))]


def packed(lists: Iterable[Sequence[bytes]]) -> bytes:
    """Return lists as the workload reads them: each with the number of its arguments."""
    return b"".join(struct.pack("=I", len(each)) + b"".join(item + b"\0" for item in each) for each in lists)
