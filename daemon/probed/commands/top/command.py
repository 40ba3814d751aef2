# SPDX-License-Identifier: Apache-2.0
"""`probed top`: a full screen, or with ``--once`` the activity between two pages as text or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial

from probed.client import metrics_page
from probed.client.metrics_page import MetricsPage
from probed.commands.top import cells
from probed.commands.top.activity import Activity, activity
from probed.commands.top.poller import Poller
from probed.commands.top.readings import REQUESTED, PageParser, Reading
from probed.commands.top.session import Session
from probed.commands.top.tables import Cell, RateTable, Row, sort_rows
from probed.frozen import frozen
from probed.terminal import show
from probed.text_width import width_of


@frozen
class TopOptions:
    """Options of the command: seconds between two pages, the units as a glob, and the form of the output."""

    interval: float
    unit: str
    once: bool
    as_json: bool


def run(page: MetricsPage, options: TopOptions) -> int:
    """Show the activity of the daemon that serves `page`; return 0. Raises HostError."""
    read = partial(read_page, page, PageParser())
    first = read()
    if options.once:
        with suppress(KeyboardInterrupt):  # the user needs no more of the interval
            time.sleep(options.interval)
        found = activity(first, read(), options.unit)
        show(json.dumps(_data(page, found, options.unit)) if options.as_json else "\n".join(_text(found)))
        return 0
    from probed.commands.top import screen

    session = Session(Poller(read, options.interval), str(page.address), options.interval, options.unit)
    session.take(first)
    screen.run(session)
    return 0


def read_page(page: MetricsPage, parser: PageParser) -> Reading:
    """Request and parse the page. Raises HostError."""
    sent, begun = time.time(), time.monotonic()
    text = metrics_page.request(page, REQUESTED, starts=True)
    return parser.parse(text, sent, (begun + time.monotonic()) / 2)


def _data(page: MetricsPage, found: Activity, unit: str) -> dict[str, object]:
    return {
        "address": str(page.address),
        "unit": unit,
        "seconds": found.seconds,
        "totals": asdict(found.totals),
        "probes_down": found.probes_down,
        **{table.key: [_object(table, row) for row in sort_rows(table, table.first_number)] for table in found.tables},
    }


def _object(table: RateTable, row: Row) -> dict[str, Cell]:
    return {column.key: cell for column, cell in zip(table.columns, row, strict=True)}


def _text(found: Activity) -> Iterator[str]:
    """Yield the lines of all tables, without rows in which nothing happened."""
    for table in found.tables:
        rows = [row for row in sort_rows(table, table.first_number) if any(row[n] for n in _numbers(table))]
        yield from _lines(table, rows) if rows else [f"{table.title}: none"]
        yield ""
    yield f"Probes down: {cells.one_line(', '.join(found.probes_down)) or 'none'}"


def _numbers(table: RateTable) -> list[int]:
    """Return the columns that tell activity: rates, and for losses also counts."""
    kinds = ("rate", "count") if table.key == "losses" else ("rate",)
    return [n for n, column in enumerate(table.columns) if column.kind in kinds]


def _lines(table: RateTable, rows: Sequence[Row]) -> Iterator[str]:
    titles = [column.title for column in table.columns]
    texts = [[cells.show(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(titles, *texts, strict=True)]
    for line in (titles, *texts):
        placed = zip(line, table.columns, widths, strict=True)
        yield "  ".join(cells.place(text, column, width) for text, column, width in placed).rstrip()
