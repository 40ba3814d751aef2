# SPDX-License-Identifier: Apache-2.0
"""Generated parts of documents: the lines between two markers, and text as roff."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

WIDTH = 120
"""Most characters in a line of a man page's source."""


def renewed(text: str, subject: str, lines: Iterable[str]) -> str:
    """Return a document with these lines between the markers of the subject."""
    before, begin, rest = re.split(f"^(.*{subject}: made by make schema.*\n)", text, maxsplit=1, flags=re.MULTILINE)
    _, end, after = re.split(f"^(.*end of the {subject}.*\n)", rest, maxsplit=1, flags=re.MULTILINE)
    return "".join([before, begin, *(f"{line}\n" for line in lines), end, after])


def roff(text: str) -> str:
    """Escape text for a man page; words between backticks become bold. Source: man(7)."""
    escaped = text.replace("\\", r"\(rs").replace("-", r"\-")
    return re.sub("`([^`]*)`", r"\\fB\1\\fR", escaped)


def roff_lines(text: str) -> list[str]:
    """Return text as wrapped lines of a man page."""
    return textwrap.wrap(roff(text), WIDTH, break_long_words=False, break_on_hyphens=False)
