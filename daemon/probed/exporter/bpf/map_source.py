# SPDX-License-Identifier: Apache-2.0
"""A kernel map as a source of counts: what was counted since the last scrape, and whose entries may go.

`probe` owns one for each map that a metric reads. Where a map's key has a member `cgroup`, the id of a control group,
entries would only ever be added, for ids do not come again. So when the map is more than half full, entries of control
groups that are gone are deleted; what they had counted stays counted. Beside a map there can be counts that it is still
to get (`recent`), which belong to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import key_words, words_of
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.map_deltas import Increments
from probed.exporter.bpf.map_reader import CountMap
from probed.exporter.bpf.map_usage import HashUsage
from probed.exporter.bpf.recent_counts import RecentCounts
from probed.ipc.manifest import Map

CGROUP = "cgroup"
"""The member of a key that is the id of a control group."""

Living = Callable[[], Set[int] | None]
"""Gives the ids of all control groups that there are; None when it was asked too soon after the last time."""


class MapSource:
    """One map. A scrape calls `read`, `take` and, once what was taken has been committed, `retire`."""

    def __init__(
        self, counts: CountMap, layout: Map, ledger: Ledger, living: Living, recent: RecentCounts | None = None
    ) -> None:
        self._counts = counts
        self._recent = recent
        self._layout = layout
        self._increments = Increments(ledger, words_of(layout.key.fields), layout.entries)
        self._living = living
        self._key = layout.key.fields[0].name
        self._has_cgroups = any(field.name == CGROUP for field in layout.key.fields)
        self._keys = np.zeros(0)
        self._found = (np.zeros(0), np.zeros(0))

    def read(self) -> None:
        """Read the map. Raises OSError."""
        # Before the reading: what a control group did until it went is then in what is read.
        self._keys = self._of_the_gone()
        records, counts = self._counts.read()
        if self._recent is not None:
            counts = _with_recent(records[self._key], counts, *self._recent.read())
        self._found = records, counts

    def _of_the_gone(self) -> NDArray[Any]:
        """Return the keys of the last reading, shape (n,), whose control group is gone, if room is getting short."""
        keys = self._counts.last_keys
        if not self._has_cgroups or len(keys) <= self._layout.entries // 2:
            return keys[:0]
        living = self._living()
        if living is None:
            return keys[:0]
        alive = np.isin(keys[CGROUP], np.fromiter(living, np.uint64, len(living)))
        gone: NDArray[Any] = keys[~alive]
        if self._recent is not None:
            # Their rest would come into the map after its entry has gone.
            gone = gone[~np.isin(gone[CGROUP], self._recent.held())]
        return gone

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
