# SPDX-License-Identifier: Apache-2.0
"""Which label set each row of a metric has, kept where the next exporter finds it.

`budget` tells it; nothing else reads it but the `budget` of the next exporter. Label sets are appended to one of two
logs; a log that is full is written anew into the other one, with what is still in use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.series.label_sets import Labels

ROOM = 1 << 10
"""Bytes that a log has for each row. Only what is written takes memory."""

_LENGTH = 4


class LabelStore:
    """The label sets of at most `rows` rows."""

    def __init__(self, ledger: Ledger, rows: int) -> None:
        """Find what an earlier exporter left."""
        self._places = ledger.array(rows, 1)  # 0: none; else where its record begins, plus 1
        self._log = ledger.scalar()
        self._used = ledger.scalar()
        self._logs = (ledger.blob(rows * ROOM), ledger.blob(rows * ROOM))
        self._ledger = ledger
        self._tidied_at = -1

    def __iter__(self) -> Iterator[tuple[int, Labels]]:
        """Yield each row that has a label set, with it."""
        places = self._places.read()[:, 0]
        for row in places.nonzero()[0].tolist():
            yield row, tuple(json.loads(self._record(int(places[row]) - 1)[_LENGTH:]))

    def _record(self, at: int) -> bytes:
        log = self._logs[self._log.value]
        length = int.from_bytes(log[at : at + _LENGTH].tobytes(), "little")
        return log[at : at + _LENGTH + length].tobytes()

    def set(self, row: int, labels: Labels) -> None:
        """Note a row's label set; one that finds no room is not kept, and the row will be nobody's."""
        body = json.dumps(labels).encode()
        record = len(body).to_bytes(_LENGTH, "little") + body
        self._places.write(row + 1)[row] = self._append(record) if self._has_room(len(record)) else 0

    def drop(self, row: int) -> None:
        """Forget a row's label set."""
        self._places.write(row + 1)[row] = 0

    def _has_room(self, size: int) -> bool:
        if self._used.value + size > len(self._logs[0]):
            self._tidy()
        return self._used.value + size <= len(self._logs[0])

    def _append(self, record: bytes) -> int:
        at = self._used.value
        self._logs[self._log.value][at : at + len(record)] = np.frombuffer(record, np.uint8)
        self._used.value = at + len(record)
        return at + 1

    def _tidy(self) -> None:
        """Go on in the other log, unless that one still counts: it was left since the last commit."""
        if self._tidied_at == self._ledger.commits:
            return
        self._tidied_at = self._ledger.commits
        places = self._places.write(0)
        kept = {row: self._record(int(places[row, 0]) - 1) for row in places[:, 0].nonzero()[0].tolist()}
        self._log.value ^= 1
        self._used.value = 0
        for row, record in kept.items():
            places[row] = self._append(record)
