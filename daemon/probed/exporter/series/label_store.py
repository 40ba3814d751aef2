# SPDX-License-Identifier: Apache-2.0
"""The label set of each row of a metric, kept for the next exporter.

`budget` writes here, and the `budget` of the next exporter reads. Label sets are appended to one of two logs; when a
log is full, the label sets in use are written to the other log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from probed.exporter.arrays.ledger import Ledger, require
from probed.exporter.series.label_sets import Labels

ROOM = 1 << 10
"""Bytes of a log for each row. Only written pages take memory."""

_LENGTH = 4


class LabelStore:
    """The label sets of at most `rows` rows."""

    def __init__(self, ledger: Ledger, rows: int) -> None:
        """Find the label sets of an earlier exporter. Raises SpoiledState."""
        self._offsets = ledger.array(rows, 1)  # 0: none; else the offset of the record in the log, plus 1
        self._log = ledger.scalar()
        self._used = ledger.scalar()
        self._logs = (ledger.blob(rows * ROOM), ledger.blob(rows * ROOM))
        require(self._log.value < len(self._logs), "the log of label sets is not one of the two")
        require(self._used.value <= len(self._logs[0]), "the log of label sets is too long")
        self._ledger = ledger
        self._tidied_at = -1

    def __iter__(self) -> Iterator[tuple[int, Labels]]:
        """Yield each row with its label set, without rows that have none. Raises SpoiledState."""
        offsets = self._offsets.read()[:, 0]
        for row in offsets.nonzero()[0].tolist():
            yield row, _label_set(self._record(int(offsets[row]) - 1)[_LENGTH:])

    def _record(self, at: int) -> bytes:
        """Return the record at an offset, its length first. Raises SpoiledState."""
        log = self._logs[self._log.value][: self._used.value]
        require(at + _LENGTH <= len(log), "a label set lies outside of its log")
        length = int.from_bytes(log[at : at + _LENGTH].tobytes(), "little")
        require(at + _LENGTH + length <= len(log), "a label set is longer than its log")
        return log[at : at + _LENGTH + length].tobytes()

    def set(self, row: int, labels: Labels) -> None:
        """Set the label set of a row; without room in the log the next exporter finds none."""
        body = json.dumps(labels).encode()
        record = len(body).to_bytes(_LENGTH, "little") + body
        self._offsets.write(row + 1)[row] = self._append(record) if self._has_room(len(record)) else 0

    def drop(self, row: int) -> None:
        """Forget a row's label set."""
        self._offsets.write(row + 1)[row] = 0

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
        """Go on in the other log, unless that log was in use at the last commit."""
        if self._tidied_at == self._ledger.commits:
            return
        self._tidied_at = self._ledger.commits
        offsets = self._offsets.write(0)
        kept = {row: self._record(int(offsets[row, 0]) - 1) for row in offsets[:, 0].nonzero()[0].tolist()}
        self._log.value ^= 1
        self._used.value = 0
        for row, record in kept.items():
            offsets[row] = self._append(record)


def _label_set(body: bytes) -> Labels:
    """Read a label set. Raises SpoiledState for other data, and for texts that no page can have."""
    try:
        texts = json.loads(body)
        sound = isinstance(texts, list) and all(isinstance(text, str) and text.encode() is not None for text in texts)
    except (ValueError, RecursionError):  # no JSON, not UTF-8, a lone surrogate; a thousand lists in lists
        sound = False
    require(sound, "a label set is none")
    return tuple(texts)
