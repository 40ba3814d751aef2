# SPDX-License-Identifier: Apache-2.0
"""A kernel map as a source of gauges: the values that it holds now.

`probe_sources` owns one for each map that a gauge reads. The programs set values and delete entries. Where a map's key
has a member `cgroup`, the exporter deletes the entries of removed control groups that hold only zeros: no process is
left to change them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from probed.exporter.arrays.dtypes import chosen
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.cgroup_keys import CGROUP, CgroupKeys, KnownCgroups
from probed.exporter.bpf.map_usage import HashUsage
from probed.ipc.manifest import Map


class ValueMap(Protocol):
    """The entries of one kernel map, as `map_reader.Entries`."""

    keys: NDArray[Any]
    values: NDArray[Any]

    def read(self) -> int:
        """Read the map; return how many of `keys` and `values` were found. Raises OSError."""

    def delete(self, keys: NDArray[Any]) -> None:
        """Delete entries. Raises OSError."""


class GaugeSource:
    """One map. Its owner calls `read`, then `values` of each gauge, then `settle` and `retire`."""

    def __init__(self, content: ValueMap, layout: Map, cgroups: KnownCgroups) -> None:
        self._content = content
        self._layout = layout
        self._types = {field.name: field.type for field in layout.value.fields}
        self._cgroup_keys = CgroupKeys(layout, cgroups)
        self._entries = 0
        self._retiring = self._settled = np.zeros(0)

    def read(self) -> None:
        """Read the map. Raises OSError."""
        # Before the reading, which then finds the last values of these control groups.
        removed = self._keys_of_removed()
        self._entries = self._content.read()
        keys = self._content.keys[: self._entries]
        which = np.isin(keys[CGROUP], removed) & self._are_zero() if len(removed) else slice(0)
        self._retiring = chosen(keys, which)

    def _keys_of_removed(self) -> NDArray[Any]:
        """Return the last reading's ids of removed control groups, shape (n,)."""
        if not self._cgroup_keys.are_used or not self._entries:
            return np.zeros(0, np.uint64)
        ids: NDArray[Any] = self._content.keys[CGROUP][: self._entries].astype(np.uint64)
        removed: NDArray[Any] = ids[self._cgroup_keys.are_removed(ids)]
        return removed

    def _are_zero(self) -> NDArray[Any]:
        sums = [self._sums(name) for name, kind in self._types.items() if kind != "char"]
        zero: NDArray[Any] = np.logical_and.reduce([column == 0 for column in sums])
        return zero

    def values(self, member: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return all keys, shape (n,), and a member of the values, shape (n,), int64 or uint64 by the C type.

        The values of all CPUs are added up.
        """
        return self._content.keys[: self._entries], self._sums(member)

    def _sums(self, member: str) -> NDArray[Any]:
        kind = np.int64 if self._types[member].startswith("s") else np.uint64
        column = self._content.values[member][: self._entries]
        sums: NDArray[Any] = column.sum(axis=tuple(range(1, column.ndim)), dtype=kind)
        return sums

    @property
    def cgroup_room(self) -> int | None:
        """How many control groups the map has room for; None where the key has none."""
        return self._cgroup_keys.room

    @property
    def is_filling(self) -> bool:
        """Say whether the last reading found the map more than a quarter full of control groups."""
        return self._cgroup_keys.is_filling(self._entries)

    def usage(self) -> HashUsage | None:
        """Return how full the map was when it was read last; None of an array, which is always full."""
        if self._layout.kind.endswith("array"):
            return None
        return HashUsage(self._layout.name, self._entries, self._layout.entries)

    def settle(self) -> None:
        """Note that the gauges have the values of the last reading: `retire` may delete entries."""
        self._settled = self._retiring

    def retire(self) -> None:
        """Delete the entries at zero of control groups that were removed before a settled reading. Raises OSError."""
        keys, self._settled = self._settled, self._settled[:0]
        if len(keys):
            self._content.delete(keys)
