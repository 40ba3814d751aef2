# SPDX-License-Identifier: Apache-2.0
"""Texts and numbers of a given width in columns of a terminal. Pure.

Texts of the page are names that programs choose: `one_line` writes every character that does not print as an escape.
"""

from __future__ import annotations

from typing import Final

from probed.commands.top.tables import Cell, RateColumn
from probed.terminal import printable
from probed.text_width import cut, width_of

CUT: Final = "~"
"""Last character of a text that is too long."""
UNKNOWN: Final = "-"

WIDTHS: Final = {"rate": 8, "share": 5, "count": 8}
"""Columns of the terminal for each kind of number."""

_SCALES: Final = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


def one_line(text: str, encoding: str = "utf-8") -> str:
    """Return a text without escape sequences, line ends and characters that the terminal's encoding lacks."""
    line = printable(text).replace("\n", "\\n").replace("\t", "\\t")
    return line.encode(encoding, "backslashreplace").decode(encoding)


def fit(text: str, width: int) -> str:
    """Cut or fill a text to exactly `width` columns."""
    text = cut(text, width, CUT)
    return text + " " * (width - width_of(text))


def show_number(cell: Cell, column: RateColumn) -> str:
    """Return a number as text: shares in percent, one decimal below 100, millions and above with a letter."""
    if not isinstance(cell, float):
        return UNKNOWN
    if column.kind == "share":
        return f"{100 * cell:.0f} %"
    scale, letter = next(((scale, letter) for scale, letter in _SCALES if cell >= scale), (1, ""))
    if letter:
        return f"{cell / scale:.2f}{letter}"
    decimals = 1 if column.kind == "rate" and 0 < cell < 100 else 0
    return f"{cell:.{decimals}f}"


def show(cell: Cell, column: RateColumn, encoding: str = "utf-8") -> str:
    """Return a cell as a text that a terminal with this encoding shows as it is."""
    return one_line(str(cell), encoding) if column.kind == "text" else show_number(cell, column)


def place(text: str, column: RateColumn, width: int) -> str:
    """Cut or fill a text of a column to `width` columns of the terminal: numbers to the right."""
    missing = 0 if column.kind == "text" else max(width - len(text), 0)
    return fit(" " * missing + text, width)
