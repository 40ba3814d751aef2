# SPDX-License-Identifier: Apache-2.0
"""The tables of `probed top`: titles, keys and columns, and the order of rows. Pure.

`activity` fills the tables; `layout` and `command` show them.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from probed.frozen import frozen

Kind = Literal["text", "rate", "share", "count"]
Cell = str | float | None
"""A text, a number, or None for an unknown number."""
Row = tuple[Cell, ...]


@frozen
class RateColumn:
    """One column: `key` in JSON, `title` on screens.

    Narrow screens leave out columns with a high `rank` first; rank 0 stays. A text takes `least` to `most` columns of
    the terminal.
    """

    key: str
    title: str
    kind: Kind = "rate"
    rank: int = 0
    least: int = 0
    most: int = 0


@frozen
class RateTable:
    """Rows of one kind, each with a cell for every column."""

    key: str
    title: str
    columns: tuple[RateColumn, ...]
    rows: tuple[Row, ...] = ()

    @property
    def first_number(self) -> int:
        """Index of the first column with numbers, by which the table is sorted at first."""
        return next(n for n, column in enumerate(self.columns) if column.kind != "text")


TABLES: Final = (
    RateTable(
        "units",
        "Units",
        (
            RateColumn("unit", "UNIT", "text", least=14, most=200),
            RateColumn("starts_per_second", "STARTS/S"),
            RateColumn("short_share", "<1 S", "share"),
            RateColumn("opens_per_second", "OPENS/S", rank=2),
            RateColumn("failures_per_second", "FAILED/S", rank=1),
            RateColumn("execs", "EXECS", "count", rank=3),
        ),
    ),
    RateTable(
        "programs",
        "Programs",
        (
            RateColumn("program", "PROGRAM", "text", least=12, most=15),
            RateColumn("starts_per_second", "STARTS/S"),
            RateColumn("short_share", "<1 S", "share"),
            RateColumn("failures_per_second", "FAILED/S", rank=1),
            RateColumn("execs", "EXECS", "count", rank=2),
        ),
    ),
    RateTable(
        "parents",
        "Parents",
        (
            RateColumn("parent", "PARENT", "text", least=10, most=15),
            RateColumn("most_started", "STARTS MOST", "text", rank=1, least=11, most=15),
            RateColumn("starts_per_second", "STARTS/S"),
            RateColumn("execs", "EXECS", "count", rank=2),
        ),
    ),
    RateTable(
        "failures",
        "Failures",
        (
            RateColumn("errno", "ERRNO", "text", least=7, most=15),
            RateColumn("call", "CALL", "text", least=4, most=4),
            RateColumn("program", "PROGRAM", "text", least=12, most=15),
            RateColumn("failures_per_second", "FAILED/S"),
            RateColumn("failures", "FAILED", "count", rank=1),
        ),
    ),
    RateTable(
        "system_calls",
        "System calls",
        (
            RateColumn("system_call", "SYSTEM CALL", "text", least=12, most=24),
            RateColumn("calls_per_second", "CALLS/S"),
            RateColumn("failures_per_second", "FAILED/S"),
            RateColumn("most_errno", "MOST", "text", rank=1, least=7, most=15),
            RateColumn("calls", "CALLS", "count", rank=2),
        ),
    ),
    RateTable(
        "losses",
        "Losses",
        (
            RateColumn("probe", "PROBE", "text", least=8, most=24),
            RateColumn("reason", "REASON", "text", least=9, most=12),
            RateColumn("lost_per_second", "LOST/S"),
            RateColumn("lost", "LOST", "count"),
        ),
    ),
)
"""All tables, without rows."""


def sort_rows(table: RateTable, column: int, reverse: bool = False) -> list[Row]:
    """Return rows sorted by a column: numbers from the highest, texts in order; `reverse` turns either around.

    Equal rows follow by the table's other numbers and texts; unknown numbers come last.
    """
    texts = [n for n, each in enumerate(table.columns) if each.kind == "text"]
    numbers = [n for n, each in enumerate(table.columns) if each.kind != "text"]
    rows = sorted(table.rows, key=lambda row: [str(row[n]) for n in texts])
    rows.sort(key=lambda row: [_number(row[n]) for n in numbers], reverse=True)
    if column in texts:
        rows.sort(key=lambda row: str(row[column]), reverse=reverse)
        return rows
    known = [row for row in rows if row[column] is not None]
    known.sort(key=lambda row: _number(row[column]), reverse=not reverse)
    return known + [row for row in rows if row[column] is None]


def _number(cell: Cell) -> float:
    return cell if isinstance(cell, float) else -math.inf
