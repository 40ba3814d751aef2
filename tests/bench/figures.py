# SPDX-License-Identifier: Apache-2.0
"""Measured figures with their spread, and their tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: `value` in `unit`, with the `least` and the `most` of all rounds."""

    about: str
    unit: str
    value: float
    least: float
    most: float
    rounds: int


def one(about: str, unit: str, value: float) -> Figure:
    """Return a figure of one measurement."""
    return Figure(about, unit, value, value, value, 1)


def least(about: str, unit: str, found: Sequence[float]) -> Figure:
    """Return the least value: other load on the machine only adds to a cost."""
    return Figure(about, unit, min(found), min(found), max(found), len(found))


def middle(about: str, unit: str, found: Sequence[float]) -> Figure:
    """Return the median."""
    return Figure(about, unit, statistics.median(found), min(found), max(found), len(found))


def difference(about: str, unit: str, found: Sequence[float], without: Sequence[float]) -> Figure:
    """Return the difference of the two least values; the spread comes from the pairs of each round."""
    pairs = [one - other for one, other in zip(found, without, strict=True)]
    return Figure(about, unit, min(found) - min(without), min(pairs), max(pairs), len(pairs))


def table(figures: Iterable[Figure]) -> str:
    """Return lines for a terminal."""
    rows = [("", "", "", "least", "most", "rounds")]
    for each in figures:
        spread = (number(each.least), number(each.most), str(each.rounds)) if each.rounds > 1 else ("", "", "")
        rows.append((each.about, number(each.value), each.unit, *spread))
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as columns, the first and units to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if column in (0, 2) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a number with three significant figures."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}"
