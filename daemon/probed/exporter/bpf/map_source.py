# SPDX-License-Identifier: Apache-2.0
"""A kernel map as a source of counts: the increments since the last reading, and the entries that may go.

`probe` owns one for each map that a metric reads. Where a map's key has a member `cgroup`, the id of a control group,
entries would only ever be added, for ids do not come again. So when the map is more than a quarter full, entries of
control groups that were announced as removed are deleted; when it is more than half full, the tree is walked for the
others. What they had counted stays counted. Beside a map there can be counts that it is still to get (`recent`), which
belong to its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import key_words, words_of
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.cgroup_keys import CGROUP, CgroupKeys, KnownCgroups
from probed.exporter.bpf.map_deltas import MapDeltas
from probed.exporter.bpf.map_reader import CountMap
from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.bpf.recent_counts import RecentCounts
from probed.ipc.manifest import Map


class MapSource:
    """One map. Its owner calls `read`, `take` and, once what was taken has been committed, `retire`."""

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
        self._increments = MapDeltas(ledger, words_of(layout.key.fields), layout.entries)
        self._cgroup_keys = CgroupKeys(layout, cgroups)
        self._key = layout.key.fields[0].name
        self._keys = np.zeros(0)
        self._found = (np.zeros(0), np.zeros(0))

    def read(self) -> None:
        """Read the map. Raises OSError."""
        # Before the reading: what a control group did until it went is then in what is read.
        self._keys = self._keys_of_removed()
        records, counts = self._counts.read()
        if self._recent is not None:
            counts = _with_recent(records[self._key], counts, *self._recent.read())
        self._found = records, counts

    @property
    def cgroup_room(self) -> int | None:
        """How many control groups the map has room for; None where its keys have none."""
        return self._cgroup_keys.room

    @property
    def is_filling(self) -> bool:
        """Say whether the last reading found so many control groups that entries are to be deleted."""
        return self._cgroup_keys.is_filling(self._counts.entries)

    def _keys_of_removed(self) -> NDArray[Any]:
        """Return the last reading's keys of removed control groups, shape (n,), if room is getting short."""
        keys = self._counts.last_keys
        if not self._cgroup_keys.is_filling(len(keys)):
            return keys[:0]
        removed: NDArray[Any] = keys[self._cgroup_keys.are_removed(keys[CGROUP])]
        if self._recent is not None and len(removed):
            # Their rest would come into the map after its entry has gone.
            removed = removed[~np.isin(removed[CGROUP], self._recent.held())]
        return removed

    def take(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the keys whose count has risen, shape (n,), and by how much, shape (n,), dtype int64."""
        records, counts = self._found
        risen, by = self._increments.since(key_words(records, self._layout.key.fields), counts)
        return records[risen], by

    def usage(self) -> HashUsage | None:
        """Return how full the map was when it was read last; None of an array, which is always full."""
        if self._layout.kind.endswith("array"):
            return None
        return HashUsage(self._layout.name, self._counts.entries, self._layout.entries)

    def retire(self) -> None:
        """Delete the entries of control groups that were gone before the map was read. Raises OSError."""
        self._counts.delete(self._keys)


def _with_recent(there: NDArray[Any], counts: NDArray[Any], keys: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
    """Return the counts of the keys `there` with what is still to be added to them.

    Every key was in the map before it was here; one that came into it after the map was read waits for the next time.
    """
    if not len(there):
        return counts
    order = there.argsort()
    places = order.take(there.searchsorted(keys, sorter=order), mode="clip")
    known = there[places] == keys
    sums = counts.copy()
    np.add.at(sums, places[known], more[known])
    return sums
