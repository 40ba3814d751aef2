# SPDX-License-Identifier: Apache-2.0
"""Parsers of the values that options of `probed tail` take. Pure.

Every command imports this module for its parser, so the module makes no classes.
"""

from __future__ import annotations

import errno
import re
from typing import Final

from probed.schema.suggestions import did_you_mean

FORMATS: Final = ("table", "json")

_NANOSECONDS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def parse_duration(text: str) -> int:
    """Parse a duration such as ``10ms`` or ``1.5s``; return nanoseconds. Raises ValueError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)", text)
    if found is None:
        raise ValueError(f"expected a duration such as 10ms, 1.5s or 2m, found '{text}'")
    return round(float(found[1]) * _NANOSECONDS[found[2]])


def parse_errno(text: str) -> int:
    """Parse the name of an errno, or its number. Raises ValueError."""
    if text.isascii() and text.isdecimal() and 0 < int(text) < 4096:
        return int(text)
    names = {name: number for number, name in errno.errorcode.items()}
    names |= {name: getattr(errno, name) for name in ("EAGAIN", "EWOULDBLOCK", "EDEADLOCK", "EOPNOTSUPP", "ENOTSUP")}
    if text.upper() in names:
        return names[text.upper()]
    raise ValueError(f"no errno is called '{text}'{did_you_mean(text.upper(), names)}; take a name such as ENOENT")


def parse_number(text: str) -> int:
    """Parse the id of a process or user. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and int(text) < 1 << 32):
        raise ValueError(f"expected an id, a number below 4294967296, found '{text}'")
    return int(text)


def parse_count(text: str) -> int:
    """Parse a number of rows. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f"expected a number of rows above 0, found '{text}'")
    return int(text)
