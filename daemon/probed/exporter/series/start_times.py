# SPDX-License-Identifier: Apache-2.0
"""When each row of a metric began at 0: the start timestamps of counters and histograms.

`table` owns one for each metric. The ledger keeps the times, so a series has the same start under the next exporter.

A row begins at a time before the row's first event and after all events of earlier batches: the last drain of the ring,
or the last reading of the kernel's maps. Rates since the start are then never too high.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from probed.exporter.arrays.ledger import Ledger, require
from probed.exporter.arrays.ndarray import NDArray

LAST = float(1 << 40)
"""Bound of every start, in seconds since the epoch: the year 36,812."""


class StartTimes:
    """Starts of at most `rows` rows.

    `since` gives the start of a row that begins now, in seconds since the epoch.
    """

    def __init__(self, ledger: Ledger, rows: int, since: Callable[[], float]) -> None:
        self._bits = ledger.array(rows, 1)  # 0: the row has not begun
        starts = self._bits.read().view(np.float64)
        require(bool(((starts >= 0) & (starts < LAST)).all()), "the start of a series is no time")
        self._since = since

    def count(self, counted: NDArray[Any]) -> None:
        """Begin the rows with first events: `counted`, shape (rows,), has a batch's events by row."""
        self._begin(counted.nonzero()[0])

    def _begin(self, rows: NDArray[Any]) -> None:
        bits = self._bits.read()[:, 0]
        there = rows < len(bits)
        new = np.concatenate((rows[~there], rows[there][bits[rows[there]] == 0]))
        if len(new):
            self._bits.write(int(new.max()) + 1)[new, 0] = np.float64(self._since()).view(np.uint64)

    def of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the start of each row, shape (n,), dtype float64; rows without an event begin now."""
        bits = self._bits.read()[:, 0]
        if rows.max(initial=-1) >= len(bits) or not bits[rows].all():
            self._begin(rows)
            bits = self._bits.read()[:, 0]
        starts: NDArray[Any] = bits[rows].view(np.float64)
        return starts

    def clear(self, rows: NDArray[Any]) -> None:
        """Forget the starts of rows that leave."""
        self._bits.write(int(rows.max(initial=-1)) + 1)[rows, 0] = 0
