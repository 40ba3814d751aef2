# SPDX-License-Identifier: Apache-2.0
"""Takes rows from the ring of an attached trace probe, for two seconds at most. The sampler calls it.

A process that execs shows more than a process that forks, so rows of forks only fill the rest of a sample.
"""

from __future__ import annotations

import select
import time
from typing import Final

from probed.evidence.log_rows import is_fork
from probed.tail.attachment import AttachedTrace
from probed.tail.record_ring import RecordRing
from probed.tail.rows import Row, RowReader

SECONDS: Final = 2.0
"""Longest time that the programs stay attached."""


def take_rows(attachment: AttachedTrace, most: int) -> list[Row]:
    """Return the first rows, as many as come in time, forks last; the programs are detached then. Raises OSError."""
    loaded = attachment.loaded
    assert loaded.event is not None
    read = RowReader(loaded.event, loaded.columns).read
    ring = RecordRing.map(attachment.ring, loaded.ring_bytes)
    poller = select.poll()
    poller.register(attachment.ring, select.POLLIN)
    rows: list[Row] = []
    forks: list[Row] = []
    end = time.monotonic() + SECONDS
    while len(rows) < most and (left := end - time.monotonic()) > 0:
        poller.poll(left * 1000)
        for row in map(read, ring.take(most)):
            kept = forks if is_fork(row) else rows
            if len(kept) < most:
                kept.append(row)
    attachment.stop()
    return [*rows, *forks][:most]
