# SPDX-License-Identifier: Apache-2.0
"""Columns of a terminal that a text takes, for `top` and `tail`. Pure."""

from __future__ import annotations

import unicodedata


def width_of(text: str) -> int:
    """Return the columns of the terminal that a text takes: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, mark: str) -> str:
    """Return a text in at most `width` columns of the terminal; where a part is missing, the end is `mark`."""
    if width_of(text) <= width:
        return text
    room, end = width - width_of(mark), 0
    if room < 0:
        return ""
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        end += 1
    return text[:end] + mark
