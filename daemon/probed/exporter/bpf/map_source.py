# SPDX-License-Identifier: Apache-2.0
"""A kernel map as a source of counts: increments since the last reading, and entries to delete.

`probe_sources` owns one for each map of counts or buckets. Where a map's key has a member `cgroup`, entries would only
ever be added. So when the map is more than a quarter full, the exporter deletes the entries of control groups that were
announced as removed; when the map would stay more than half full, the exporter looks for further removed ones in the
tree. Their counts stay counted. Counts in slots beside the map (`recent_counts`) are added to the map's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import chosen, key_words, words_of
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.cgroup_keys import CGROUP, CgroupKeys, KnownCgroups
from probed.exporter.bpf.map_deltas import MapDeltas
from probed.exporter.bpf.map_reader import CountMap
from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.bpf.recent_counts import RecentCounts
from probed.ipc.manifest import Map


class MapSource:
    """One map. The owner calls `read`, `take` and, once the increments are committed, `settle` and `retire`."""

    def __init__(
        self,
        counts: CountMap,
        layout: Map,
        ledger: Ledger,
        cgroups: KnownCgroups,
        recent: RecentCounts | None = None,
    ) -> None:
        self._counts = counts
        self._recent = recent
        self._layout = layout
        self._increments = MapDeltas(ledger, words_of(layout.key.fields), layout.entries, len(layout.value.fields))
        self._cgroup_keys = CgroupKeys(layout, cgroups)
        self._keys = self._settled = np.zeros(0)
        self._found = (np.zeros(0), np.zeros(0))

    def read(self) -> None:
        """Read the map. Raises OSError."""
        # Before the reading, which then includes all counts of these control groups.
        removed = self._keys_of_removed()
        records, counts = self._counts.read()
        # Others were deleted since the last reading.
        self._keys = removed[np.isin(removed[CGROUP], records[CGROUP])] if len(removed) else removed
        if self._recent is not None:
            counts = _with_recent(records.view(np.uint64), counts, *self._recent.read())
        self._found = records, counts

    @property
    def cgroup_room(self) -> int | None:
        """How many control groups the map has room for; None where the keys have no such member."""
        return self._cgroup_keys.room

    @property
    def is_filling(self) -> bool:
        """Say whether the last reading found the map so full that entries are to be deleted."""
        return self._cgroup_keys.is_filling(self._counts.entries)

    def _keys_of_removed(self) -> NDArray[Any]:
        """Return the last reading's keys of removed control groups, shape (n,), if room is getting short."""
        keys = self._counts.last_keys
        if not self._cgroup_keys.is_filling(len(keys)):
            return keys[:0]
        removed: NDArray[Any] = chosen(keys, self._cgroup_keys.are_removed(keys[CGROUP]))
        if self._recent is not None and len(removed):
            # The rest of their counts would come into the map after the entry was deleted.
            removed = chosen(removed, ~np.isin(removed[CGROUP], self._recent.held()))
        return removed

    def take(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the keys with increments, shape (n,), and the increments, shape (n,), dtype int64.

        Of a map of buckets the increments have the shape (n, 2): of sum and count.
        """
        records, counts = self._found
        risen, by = self._increments.since(key_words(records, self._layout.key.fields), counts)
        return records[risen], by

    def usage(self) -> HashUsage | None:
        """Return how full the map was when it was read last; None of an array, which is always full."""
        if self._layout.kind.endswith("array"):
            return None
        return HashUsage(self._layout.name, self._counts.entries, self._layout.entries)

    def settle(self) -> None:
        """Note that the increments of the last reading are committed: `retire` may delete entries."""
        self._settled = self._keys

    def retire(self) -> None:
        """Delete the entries of control groups that were removed before a settled reading. Raises OSError.

        Another thread may read the map meanwhile: nothing changes these entries any more.
        """
        keys, self._settled = self._settled, self._settled[:0]
        if len(keys):
            self._counts.delete(keys)


def _with_recent(there: NDArray[Any], counts: NDArray[Any], keys: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
    """Return the counts of the keys `there` with the counts in slots (`keys`, `more`) added.

    A key is in the map before it is in a slot. A key that came into the map after the reading waits for the next one.
    """
    if not len(there):
        return counts
    order = there.argsort()
    at = order.take(there.searchsorted(keys, sorter=order), mode="clip")
    known = there[at] == keys
    sums = counts.copy()
    np.add.at(sums, at[known], more[known])
    return sums
