# SPDX-License-Identifier: Apache-2.0
"""The pages that have shown each row: scrapers see a row at 0 first, and in full before it leaves.

`SeriesTable` owns one for each metric. A row is *held* from its first page for a scraper on: pages for scrapers show
the row at 0 until every active scraper has had such a page. Then the row is *released*, for all scrapers and for as
long as it is on the page, so no series ever falls. Pages for other clients show every row in full and release none. The
ledger keeps which rows are released: the next exporter does not hold them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.series.scrapers import Scrape


class ShownRows:
    """The pages of at most `rows` rows."""

    def __init__(self, ledger: Ledger, rows: int) -> None:
        """Take over the released rows of an earlier exporter."""
        self._kept = ledger.array(rows, 1)
        self._released = np.zeros(rows, bool)
        self._released[: len(self._kept)] = self._kept.read()[:, 0] != 0
        self._first_page = np.zeros(rows, np.int64)
        self._first_time = np.zeros(rows)
        self._in_full = np.zeros(rows, np.int64)  # first page with the row's present value; 0: none yet

    def show(self, rows: NDArray[Any], scrape: Scrape) -> NDArray[Any]:
        """Note rows on a page, shape (n,); return which of them the page shows at 0, shape (n,)."""
        held = self._hold(rows, scrape) if scrape.for_scraper else np.zeros(len(rows), bool)
        if scrape.number:
            self._in_full[rows[~held & (self._in_full[rows] == 0)]] = scrape.number
        return held

    def _hold(self, rows: NDArray[Any], scrape: Scrape) -> NDArray[Any]:
        new = rows[self._first_page[rows] == 0]
        self._first_page[new], self._first_time[new] = scrape.number, scrape.now
        is_due = (self._first_page[rows] <= scrape.had_by_all) | (self._first_time[rows] <= scrape.release_before)
        self._release(rows[is_due & ~self._released[rows]])
        held: NDArray[Any] = ~self._released[rows]
        return held

    def _release(self, rows: NDArray[Any]) -> None:
        if len(rows):
            self._released[rows] = True
            self._kept.write(int(rows.max()) + 1)[rows, 0] = 1

    def count(self, counted: NDArray[Any]) -> None:
        """Note that rows have changed: `counted`, shape (m,), has the events by row."""
        self._in_full[: len(counted)][counted > 0] = 0

    def may_leave(self, rows: NDArray[Any], scrape: Scrape) -> NDArray[Any]:
        """Return for each row whether every active scraper has had the last value in full, shape (n,)."""
        in_full = self._in_full[rows]
        may: NDArray[Any] = (in_full > 0) & (in_full <= scrape.leave_through)
        return may

    def clear(self, rows: NDArray[Any]) -> None:
        """Forget the pages of rows that leave: the next label sets in these rows are new."""
        self._first_page[rows] = 0
        self._in_full[rows] = 0
        self._released[rows] = False
        self._kept.write(int(rows.max(initial=-1)) + 1)[rows, 0] = 0
