# SPDX-License-Identifier: Apache-2.0
"""Char arrays as text: the decoders `comm`, `string` and `map`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def text(value: int | bytes) -> str:
    r"""Return the text of a char array up to its first NUL: UTF-8, distinct for distinct bytes.

    Users choose the names of their programs. Bytes other than UTF-8 and ASCII control characters become ``\xNN``, other
    characters that do not print ``\uNNNN``; a backslash is doubled, so no name can imitate the text of another.
    """
    assert isinstance(value, bytes)
    name = value.split(b"\0", 1)[0].replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in name)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def mapped(texts: Mapping[str, str]) -> Callable[[int | bytes], str]:
    """Return the decoder `map`: the entry of `texts` for a char array's text, or the text without an entry."""

    def decode(value: int | bytes) -> str:
        name = text(value)
        return texts.get(name, name)

    return decode
