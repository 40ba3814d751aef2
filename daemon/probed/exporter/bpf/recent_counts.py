# SPDX-License-Identifier: Apache-2.0
"""Counts on the way into a hash map: each CPU keeps the last few keys in slots of an array.

A look-up in a hash costs ten times as much as one in an array, so a program counts in `struct recent_count` of
probes/include/probed.bpf.h, and adds to the hash when another key takes the slot. `map_source` reads the hash first,
then the slots: counts that move meanwhile are missing until the next reading, and never counted twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.map_reader import Entries
from probed.ipc.manifest import Field, Map, Record

SLOT = np.dtype([("started", "<u8"), ("key", "<u8"), ("count", "<u8"), ("stopped", "<u8")])
"""struct recent_count."""

_INDEX = Record(4, (Field("key", "u32", 0, 1),))


class RecentCounts:
    """A per-CPU array of slots."""

    def __init__(self, slots: Entries) -> None:
        self._content = slots

    @classmethod
    def of(cls, fd: int, slots: int, cpus: int) -> RecentCounts:
        """Return the slots behind `fd`, `slots` for each CPU."""
        return cls(Entries(fd, Map("recent", "percpu_array", _INDEX, slots), cpus, SLOT))

    def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return keys and counts, both shape (n,), dtype uint64; a key can occur several times. Raises OSError."""
        slots = self._slots()
        # The kernel copies word by word, and a program writes `stopped` first: both differ in a slot that has changed.
        whole = slots[(slots["started"] == slots["stopped"]) & (slots["count"] > 0)]
        return whole["key"], whole["count"]

    def held(self) -> NDArray[Any]:
        """Return all keys with counts on the way into the map, shape (n,), dtype uint64. Raises OSError."""
        return self._slots()["key"]

    def _slots(self) -> NDArray[Any]:
        self._content.read()
        return self._content.values.ravel()
