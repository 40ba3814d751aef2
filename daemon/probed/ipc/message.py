# SPDX-License-Identifier: Apache-2.0
"""The bound of texts in messages. Pure."""

from __future__ import annotations

MAX_TEXT = 20_000
"""Most characters of a text: JSON writes one as up to 12 bytes, and a message has at most 256 KiB."""


def bounded(text: str, most: int = MAX_TEXT) -> str:
    """Return the first lines of a text, up to `most` characters, with the number of lines left out."""
    if len(text) <= most:
        return text
    kept = text[:most].rpartition("\n")[0] or text[:most]
    return f"{kept}\n… lines left out: {len(text[len(kept) :].strip(chr(10)).splitlines())}"
