# SPDX-License-Identifier: Apache-2.0
"""Values of kernel maps, added up over CPUs by C type; entries of removed control groups leave."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.bpf.cgroup_keys import KnownCgroups
from probed.exporter.bpf.gauge_source import GaugeSource
from probed.exporter.bpf.map_usage import HashUsage
from probed.ipc.manifest import Field, Map, MapKind, Record

ENTRIES = 8
KEY = Record(8, (Field("cgroup", "u64", 0, 1),))
VALUE = Record(16, (Field("used", "s64", 0, 1), Field("limit", "u32", 8, 1), Field("name", "char", 12, 4)))


def layout(kind: MapKind = "hash", key: Record = KEY, entries: int = ENTRIES) -> Map:
    return Map("levels", kind, key, entries, value=VALUE)


class Kernel:
    """A map of `VALUE` by the id of a control group: `content` has `used` and `limit` of each CPU."""

    def __init__(self, cpus: int = 1) -> None:
        self.content: dict[int, list[tuple[int, int]]] = {}
        self.keys = np.zeros(2 * ENTRIES, dtype(KEY))
        self.values = np.zeros((2 * ENTRIES, cpus), dtype(VALUE))
        self.removed = set[int]()
        self.doubted = set[int]()

    def read(self) -> int:
        for at, (number, values) in enumerate(self.content.items()):
            self.keys[at] = number
            for cpu, (used, limit) in enumerate(values):
                self.values[at, cpu] = (used, limit, np.void(b"name"))
        return len(self.content)

    def delete(self, keys: NDArray[Any]) -> None:
        for (number,) in keys.tolist():
            del self.content[number]

    def doubt(self, numbers: Set[int]) -> None:
        self.doubted |= numbers


def source(kernel: Kernel, of: Map | None = None) -> GaugeSource:
    return GaugeSource(kernel, of or layout(), KnownCgroups(lambda: kernel.removed, kernel.doubt))


def read(of: GaugeSource, member: str = "used") -> dict[int, int]:
    of.read()
    keys, values = of.values(member)
    of.settle()
    of.retire()
    return dict(zip(keys["cgroup"].tolist(), values.tolist(), strict=True))


def test_values_are_those_that_the_map_holds_now() -> None:
    kernel = Kernel()
    levels = source(kernel)
    assert read(levels) == {}
    kernel.content = {7: [(13, 1)], 8: [(-5, 2)]}
    assert read(levels) == {7: 13, 8: -5}
    kernel.content = {8: [(0, 2)]}
    assert read(levels) == {8: 0}
    assert levels.usage() == HashUsage("levels", 1, ENTRIES)


def test_cpus_are_added_up_with_64_bits_signed_as_the_c_has_it() -> None:
    kernel = Kernel(cpus=3)
    kernel.content = {7: [(-7, 2**32 - 1), (3, 2**32 - 1), (-1, 1)]}
    levels = source(kernel, layout("percpu_hash"))
    assert read(levels) == {7: -5}
    keys, limits = levels.values("limit")
    assert (keys["cgroup"].tolist(), limits.tolist()) == ([7], [2**33 - 1])
    assert limits.dtype == np.uint64


def test_an_array_is_always_full() -> None:
    assert source(Kernel(), layout("array")).usage() is None


def test_an_entry_of_a_removed_control_group_leaves_once_all_of_its_members_are_zero() -> None:
    kernel = Kernel()
    kernel.content = {7: [(2, 0)], 8: [(0, 0)], 9: [(0, 3)]}
    levels = source(kernel)
    assert read(levels) == {7: 2, 8: 0, 9: 0}
    kernel.removed = {7, 8, 9}
    assert read(levels) == {7: 2, 8: 0, 9: 0}
    assert read(levels) == {7: 2, 9: 0}
    kernel.content[7] = [(0, 0)]
    assert read(levels) == {7: 0, 9: 0}
    assert read(levels) == {9: 0}


def test_an_entry_at_zero_of_a_living_control_group_stays() -> None:
    kernel = Kernel()
    kernel.content = {7: [(0, 0)]}
    levels = source(kernel)
    assert [read(levels) for _ in range(3)] == [{7: 0}] * 3
    assert kernel.doubted == set()


def test_the_control_groups_of_a_map_that_is_more_than_half_full_are_doubted() -> None:
    kernel = Kernel()
    kernel.content = {number: [(0, 0)] for number in range(5)}
    levels = source(kernel)
    read(levels)
    assert (levels.cgroup_room, levels.is_filling) == (ENTRIES, True)
    read(levels)
    assert kernel.doubted == set(range(5))
    kernel.removed = {1, 2, 4}
    read(levels)
    assert sorted(kernel.content) == [0, 3]


def test_a_map_without_control_groups_keeps_its_entries() -> None:
    key = Record(8, (Field("number", "u64", 0, 1),))
    kernel = Kernel()
    kernel.keys = np.zeros(2 * ENTRIES, dtype(key))
    kernel.content = {7: [(0, 0)]}
    kernel.removed = {7}
    levels = source(kernel, layout(key=key))
    for _ in range(2):
        levels.read()
        assert levels.values("used")[1].tolist() == [0]
        levels.settle()
        levels.retire()
    assert (levels.cgroup_room, levels.is_filling, list(kernel.content)) == (None, False, [7])
