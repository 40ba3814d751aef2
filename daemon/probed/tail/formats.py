# SPDX-License-Identifier: Apache-2.0
"""Rows as lines: a table that fits the terminal, or one JSON object for each row. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from probed.config.declaration.columns import COLUMN_DECODERS
from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import CellDecoder
from probed.tail.rows import Appended, Row
from probed.text_width import cut, width_of

LEAST_TEXT: Final = 6
"""Characters that stay of a column of text in a narrow terminal."""

LEAST_LAST: Final = 20
"""Characters of the last column for which other columns give way."""

ELLIPSIS: Final = "…"


class RowFormat(Protocol):
    """One form of the output."""

    def head(self) -> list[str]:
        """Return the lines before the first row."""

    def line(self, row: Row) -> str:
        """Return the line of a row."""


class JsonLines:
    """One object a line. A column with bytes missing has a further key, ``NAME_cut``."""

    def __init__(self, decoders: Mapping[str, CellDecoder]) -> None:
        self._decoders = decoders

    def head(self) -> list[str]:
        """Return no line."""
        return []

    def line(self, row: Row) -> str:
        """Return the object of a row, in ASCII."""
        values = {name: decoder.json(row[name]) for name, decoder in self._decoders.items()}
        cut = {f"{name}_cut": True for name, value in row.items() if isinstance(value, Appended) and value.is_cut}
        return json.dumps(values | cut)


class Table:
    """Lines of columns under a head, without the columns of width 0.

    A terminal gets cells cut at the column's width, and lines at its own. Pipes and files get whole texts.
    """

    def __init__(
        self, columns: Sequence[ResolvedColumn], decoders: Mapping[str, CellDecoder], characters: int | None
    ) -> None:
        """`characters` is the terminal's width, None without a terminal."""
        self._columns = [column for column in columns if column.width]
        self._decoders = decoders
        self._characters = characters
        self._widths = widths(self._columns, characters)

    def head(self) -> list[str]:
        """Return the names of the columns."""
        return [self._joined([column.name.upper() for column in self._columns])]

    def line(self, row: Row) -> str:
        """Return the cells of a row."""
        return self._joined([self._decoders[column.name].text(row[column.name]) for column in self._columns])

    def _joined(self, texts: Sequence[str]) -> str:
        cells = []
        for column, text, width in zip(self._columns, texts, self._widths, strict=True):
            cell = text if self._characters is None else cut(text, width, ELLIPSIS)
            blanks = " " * (width - width_of(cell))
            is_number = COLUMN_DECODERS[column.decoder].reads != "text" and column.decoder in ("integer", "duration")
            cells.append(blanks + cell if is_number else cell + blanks)
        line = " ".join(cells).rstrip()
        return line if self._characters is None else cut(line, self._characters, ELLIPSIS)


def widths(columns: Sequence[ResolvedColumn], characters: int | None) -> list[int]:
    """Return the width of each column; in a narrow terminal columns of names give way to the last column."""
    found = [max(column.width, len(column.name)) for column in columns]
    if characters is None:
        return [*found[:-1], 0]
    missing = sum(found[:-1]) + len(found) - 1 + LEAST_LAST - characters
    names = [at for at, column in enumerate(columns[:-1]) if _gives_way(column)]
    for done, at in enumerate(names):
        given = min(max(0, found[at] - LEAST_TEXT), max(0, -(-missing // (len(names) - done))))
        found[at] -= given
        missing -= given
    return [*found[:-1], max(0, characters - sum(found[:-1]) - len(found) + 1)]


def _gives_way(column: ResolvedColumn) -> bool:
    return column.decoder in ("cgroup_unit", "comm", "string", "open_flags")
