# SPDX-License-Identifier: Apache-2.0
"""The screen of `probed top` as lines of styled texts, for a terminal of any size. Pure.

`screen` draws the lines with curses. From 76 columns on the tables lie two in a row, from 150 on three; a smaller
terminal shows the chosen table alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from probed.commands.top import cells
from probed.commands.top.activity import Activity
from probed.commands.top.tables import RateColumn, RateTable, Row, sort_rows
from probed.commands.top.view import KEYS, View
from probed.frozen import frozen
from probed.text_width import width_of

Style = Literal["plain", "bold", "faint", "head", "chosen", "sorted", "warning"]

TWO_IN_A_ROW: Final = 76
THREE_IN_A_ROW: Final = 150
GAP: Final = 2
"""Columns of the terminal between two tables."""
LEAST_LINES: Final = 3
"""Lines of a table beside others: the head and two rows."""
_MARGIN: Final = 1
"""Columns of the terminal between two columns of a table."""
_RATE: Final = RateColumn("", "")
_SHARE: Final = RateColumn("", "", "share")


class Span(NamedTuple):
    """A text without control characters, in one style."""

    text: str
    style: Style = "plain"


Line = tuple[Span, ...]


class Terminal(NamedTuple):
    """Columns and lines of a terminal, and the encoding of its locale."""

    width: int
    height: int
    encoding: str = "utf-8"


@frozen
class PollStatus:
    """State of the connection: daemon's address, interval and local time; `fault` while the daemon does not answer.

    `silent` is the number of seconds since the last page.
    """

    address: str
    interval: float
    clock: str
    fault: str = ""
    silent: float = 0.0


def render(activity: Activity | None, view: View, status: PollStatus, terminal: Terminal) -> list[Line]:
    """Return the lines that fit the terminal; the last line names the keys."""
    width, height, encoding = terminal
    head = list(_head(activity, view, status, encoding))
    room = max(height - len(head) - 1, 0)
    if view.help:
        body: list[Line] = [(Span(f"{keys:<24} {effect}"),) for keys, effect in KEYS]
    elif activity is None:
        body = [(Span("waits for a second page, to compare with the first"),)]
    else:
        body = _tables(activity, _Drawing(view, bool(status.fault), encoding), width, room)
    body = [*body[:room], *[()] * (room - len(body))]
    lines = [*head, *body, _foot(activity, view)]
    return [_bounded(line, width) for line in lines[:height]]


def _bounded(line: Line, width: int) -> Line:
    """Cut a line at the edge of the terminal."""
    spans = []
    for text, style in line:
        if width <= 0:
            break
        spans.append(Span(text if width_of(text) <= width else cells.fit(text, width), style))
        width -= width_of(text)
    return tuple(spans)


def _head(activity: Activity | None, view: View, status: PollStatus, encoding: str) -> Iterator[Line]:
    title = f"probed top  {status.address}  every {status.interval:g} s  {status.clock}  "
    unit = f"units {cells.one_line(view.unit, encoding)}  " if view.unit else ""
    yield Span(title, "bold"), Span(unit, "sorted"), Span("PAUSED" if view.paused else "", "warning")
    yield (Span(_totals(activity) if activity else ""),)
    if status.fault:
        fault = cells.one_line(status.fault, encoding)
        yield (Span(f"no page for {status.silent:.0f} s: {fault}", "warning"),)
    else:
        yield _losses(activity, encoding) if activity else ()


def _totals(activity: Activity) -> str:
    totals = activity.totals
    share = "" if totals.short_share is None else f" ({cells.show_number(totals.short_share, _SHARE)} under 1 s)"
    rates = {
        f"starts/s{share}": totals.starts_per_second,
        "opens/s": totals.opens_per_second,
        "failed/s": totals.failures_per_second,
        "syscalls/s": totals.calls_per_second,
    }
    return "  ".join(f"{cells.show_number(rate, _RATE)} {name}" for name, rate in rates.items())


def _losses(activity: Activity, encoding: str) -> Line:
    rate = activity.totals.lost_per_second
    lost = Span("nothing lost", "faint")
    if rate:
        lost = Span(f"LOST {cells.show_number(rate, _RATE)} events a second", "warning")
    elif activity.tables[-1].rows:
        lost = Span("nothing lost now; earlier losses in the last table", "faint")
    if not activity.probes_down:
        return (lost,)
    down = cells.one_line(", ".join(activity.probes_down), encoding)
    return lost, Span("  "), Span(f"probes down: {down}", "warning")


def _foot(activity: Activity | None, view: View) -> Line:
    if view.prompt is not None:
        return (Span(f"units that match: {view.prompt}_", "bold"),)
    keys = "/ units  p pause  Tab table  Enter alone  h help  q quit"
    if activity is None:
        return (Span(keys, "faint"),)
    table, order = activity.tables[view.table], view.order
    by = f"by {table.columns[order.column].title}{' reversed' if order.reverse else ''}"
    rows = f"row {view.skipped + 1} of {len(table.rows)}  " if view.alone and table.rows else ""
    return Span(by, "sorted"), Span(f" (s, r)  {rows}{keys}", "faint")


@frozen
class _Drawing:
    view: View
    old: bool
    encoding: str

    def table(self, table: RateTable, number: int, width: int, height: int) -> list[Line]:
        """Draw the head and the rows of a table; every line has exactly `width` columns."""
        order, chosen = self.view.orders[number], number == self.view.table
        columns = fitting_columns(table.columns, width)
        used = sum(space for _, space in columns) + _MARGIN * (len(columns) - 1)
        filler = Span(" " * max(width - used, 0))
        head: list[Span] = []
        for at, space in columns:
            text = cells.place(table.columns[at].title, table.columns[at], space)
            style: Style = "sorted" if at == order.column else "chosen" if chosen else "head"
            head += [Span(text, style), Span(" " * _MARGIN, "chosen" if chosen else "head")]
        head[-1:] = [Span(filler.text, "chosen" if chosen else "head")]
        skipped = self.view.skipped if chosen else 0
        rows = sort_rows(table, order.column, order.reverse)[skipped : skipped + height - 1]
        lines: list[Line] = [tuple(head), *((self._row(table, row, columns), filler) for row in rows)]
        return [*lines, *[(Span(" " * width),)] * (height - len(lines))]

    def _row(self, table: RateTable, row: Row, columns: Sequence[tuple[int, int]]) -> Span:
        shown = ((cells.show(row[at], table.columns[at], self.encoding), at, space) for at, space in columns)
        texts = (cells.place(text, table.columns[at], space) for text, at, space in shown)
        return Span((" " * _MARGIN).join(texts), self._style(table, row))

    def _style(self, table: RateTable, row: Row) -> Style:
        rates = (row[n] for n, column in enumerate(table.columns) if column.kind == "rate")
        if self.old or not any(rates):
            return "faint"
        return "plain" if table.key != "losses" else "warning"


def fitting_columns(columns: Sequence[RateColumn], width: int) -> list[tuple[int, int]]:
    """Return index and width of the columns of a table that `width` columns of the terminal have room for."""
    chosen = list(range(len(columns)))
    while sum(_least(columns[n]) + _MARGIN for n in chosen) - _MARGIN > width:
        last = max(chosen, key=lambda n: (columns[n].rank, n))
        if not columns[last].rank:
            break
        chosen.remove(last)
    spare = width - sum(_least(columns[n]) + _MARGIN for n in chosen) + _MARGIN
    found = []
    for n in chosen:
        more = max(min(spare, columns[n].most - columns[n].least), 0)
        spare -= more
        found.append((n, _least(columns[n]) + more))
    return found


def _least(column: RateColumn) -> int:
    return column.least if column.kind == "text" else cells.WIDTHS[column.kind]


def _tables(activity: Activity, drawing: _Drawing, width: int, height: int) -> list[Line]:
    """Draw all tables as a grid, or the chosen one alone."""
    across = 3 if width >= THREE_IN_A_ROW else 2 if width >= TWO_IN_A_ROW else 1
    down = -(-len(activity.tables) // across)
    if drawing.view.alone or height // down < LEAST_LINES:
        chosen = drawing.view.table
        return drawing.table(activity.tables[chosen], chosen, width, height)
    space = (width - GAP * (across - 1)) // across
    lines: list[Line] = []
    for row in range(down):
        numbers = range(row * across, min((row + 1) * across, len(activity.tables)))
        lines_of_row = height // down + (row >= down - height % down)
        drawn = [drawing.table(activity.tables[n], n, space, lines_of_row) for n in numbers]
        lines += [_beside(each) for each in zip(*drawn, strict=True)]
    return lines


def _beside(parts: Sequence[Line]) -> Line:
    joined = list(parts[0])
    for part in parts[1:]:
        joined += [Span(" " * GAP), *part]
    return tuple(joined)
