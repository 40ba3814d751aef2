# SPDX-License-Identifier: Apache-2.0
"""Counts each event of a slot once, from a reading of the slot or from a record.

Programs number the events of each slot. A record covers the last `weight` numbers up to its `slot_total`, a slot those
above `before` up to its `total`. Records of a slot come in order, so one number for each slot says which events were
counted. `weighted_events` owns the object; the numbers lie in the ledger with the counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ledger import MOST_COUNT, Ledger, require
from probed.exporter.arrays.ndarray import NDArray


class SlotTotals:
    """The number of the last counted event of each of so many slots."""

    def __init__(self, ledger: Ledger, slots: int) -> None:
        """Go on with the numbers of an earlier exporter. Raises SpoiledState."""
        self._room = slots + 1  # and records without a slot, whose number is -1
        self._counted = ledger.array(self._room, 1)
        require(bool((self._counted.read() <= MOST_COUNT).all()), "the number of a slot's event is out of range")

    def _numbers(self) -> NDArray[Any]:
        return self._counted.write(self._room)[:, 0].view(np.int64)

    def count_records(self, records: NDArray[Any]) -> NDArray[Any]:
        """Return how many events of each record are new, shape (n,), dtype int64; they are counted then."""
        counted, slots = self._numbers(), records["slot"]
        totals = records["slot_total"].astype(np.int64)
        fresh = np.minimum(records["weight"].astype(np.int64), totals - counted[slots])
        counted[slots] = totals  # of several records of a slot the last
        counted[-1] = 0
        return np.maximum(fresh, 0, out=fresh)

    def count_slots(self, slots: NDArray[Any], are_drained: bool) -> tuple[NDArray[Any], int]:
        """Return how many events of each slot are new, shape (n,), dtype int64; they are counted then.

        `slots` were read before the ring's end that the drain reached, or not: `are_drained`. Before, the records of
        earlier label sets may be missing, so such slots wait. After, events below `before` that no record had are
        missing for good: the second result is their number.
        """
        counted, at = self._numbers(), slots["slot"].astype(np.intp)
        earlier, totals = slots["before"].astype(np.int64), slots["total"].astype(np.int64)
        missing = np.maximum(earlier - counted[at], 0)
        if not are_drained:
            totals = np.where(missing > 0, 0, totals)
            missing[:] = 0
        fresh = np.maximum(totals - counted[at] - missing, 0)
        counted[at] += fresh + missing
        return fresh, int(missing.sum())
