# SPDX-License-Identifier: Apache-2.0
"""Tables that fit the terminal, and lines of JSON."""

from __future__ import annotations

import json

import pytest

from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import CellDecoder
from probed.tail.formats import JsonLines, Table, widths
from probed.tail.rows import Appended, Row

COLUMNS = (
    ResolvedColumn("unit", "cgroup", "cgroup_unit", 20),
    ResolvedColumn("pid", "pid", "integer", 7),
    ResolvedColumn("hidden", "path", "text", 0),
    ResolvedColumn("args", "args", "args", 40),
)
PLAIN = CellDecoder(str, lambda value: value)
APPENDED = CellDecoder(lambda value: value.data.decode(), lambda value: value.data.decode())
DECODERS = {"unit": PLAIN, "pid": PLAIN, "hidden": APPENDED, "args": APPENDED}


def row(unit: str, args: str = "x", *, cut: bool = False) -> Row:
    return {"unit": unit.encode(), "pid": 41, "hidden": Appended(b"h", cut), "args": Appended(args.encode(), False)}


UNIT = {**DECODERS, "unit": CellDecoder(lambda value: value.decode(), lambda value: value.decode())}


def test_a_table_without_a_terminal_keeps_whole_texts() -> None:
    table = Table(COLUMNS, UNIT, None)
    assert table.head() == ["UNIT                     PID ARGS"]
    assert table.line(row("a-unit-with-a-long-name.service", "y" * 300)) == (
        f"a-unit-with-a-long-name.service      41 {'y' * 300}"
    )


@pytest.mark.parametrize("characters", [1, 20, 36, 80, 200])
def test_a_line_fits_the_terminal(characters: int) -> None:
    table = Table(COLUMNS, UNIT, characters)
    for text in ("a", "y" * 300, "東" * 300, "é" * 300):
        assert len(table.line(row("a-unit-with-a-long-name.service", text))) <= characters
    assert len(table.head()[0]) <= characters


def test_names_give_way_to_the_last_column() -> None:
    shown = [COLUMNS[0], COLUMNS[1], COLUMNS[3]]
    assert widths(shown, 80) == [20, 7, 51]
    assert widths(shown, 40) == [11, 7, 20]
    assert widths(shown, 30) == [6, 7, 15]
    assert widths(shown, 10) == [6, 7, 0]


def test_a_line_of_json_has_all_columns_and_tells_cuts() -> None:
    line = JsonLines(UNIT).line(row("a.service", "é", cut=True))
    assert line.isascii()
    assert json.loads(line) == {"unit": "a.service", "pid": 41, "hidden": "h", "args": "é", "hidden_cut": True}
    assert JsonLines(UNIT).head() == []
