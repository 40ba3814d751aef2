# SPDX-License-Identifier: Apache-2.0
"""Base class of the messages that only one receiver reads, once; the bound of texts in messages. Pure."""

from __future__ import annotations

MAX_TEXT = 20_000
"""Most characters of a text: JSON writes one as up to 12 bytes, and a message has at most 256 KiB."""


def bounded(text: str, most: int = MAX_TEXT) -> str:
    """Return the first lines of a text, up to `most` characters, with the number of lines left out."""
    if len(text) <= most:
        return text
    kept = text[:most].rpartition("\n")[0] or text[:most]
    return f"{kept}\n… lines left out: {len(text[len(kept) :].strip(chr(10)).splitlines())}"


class Message:
    """Equality and text for dataclasses without their own: generated methods take 8 KB a class in each process."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"
