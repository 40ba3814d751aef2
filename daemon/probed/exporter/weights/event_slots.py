# SPDX-License-Identifier: Apache-2.0
"""Slots where each CPU counts events with a weight, before a record of the ring has their sum.

`weighted_events` reads them. A slot holds one label set at a time; see `count_event` of probes/include/probed.bpf.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.map_reader import Entries
from probed.ipc.manifest import Field, Map, Record

READINGS = 4
"""Readings until no slot is in the middle of a change; the label sets of the last reading's are left out."""

_INDEX = Record(4, (Field("key", "u32", 0, 1),))


def slot_dtype(labels: Record) -> np.dtype[np.void]:
    """Return the dtype of struct event_slot, with a layout for its label set."""
    return np.dtype(
        [
            ("started", "<u8"), ("slot", "<u8"), ("before", "<u8"), ("total", "<u8"),
            ("labels", dtype(labels)), ("stopped", "<u8"), ("taken", "<u8"), ("marked_ns", "<u8"),
        ]
    )  # fmt: skip


class EventSlots:
    """A per-CPU array of slots."""

    def __init__(self, content: Entries) -> None:
        self._content = content

    @classmethod
    def of(cls, fd: int, slots: int, cpus: int, labels: Record) -> EventSlots:
        """Return the slots behind `fd`, `slots` for each CPU, with a layout for their label sets."""
        return cls(Entries(fd, Map("event_slots", "percpu_array", _INDEX, slots), cpus, slot_dtype(labels)))

    def read(self) -> NDArray[Any]:
        """Return the slots with events, shape (n,), dtype of `slot_dtype`: a copy. Raises OSError."""
        for _ in range(READINGS):
            self._content.read()
            slots = self._content.values.ravel()
            # The kernel copies word by word, and a program writes `stopped` first: both differ in a changed slot.
            whole = slots["started"] == slots["stopped"]
            if whole.all():
                break
        found: NDArray[Any] = slots[whole & (slots["total"] > slots["before"])]
        return found
