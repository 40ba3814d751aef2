# SPDX-License-Identifier: Apache-2.0
"""Counts by control group: entries of removed ones leave the kernel's map, without loss."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.bpf.cgroup_keys import KnownCgroups
from probed.exporter.bpf.map_reader import CountMap
from probed.exporter.bpf.map_source import MapSource
from probed.ipc.manifest import Field, Map, Record
from support.unit.series_tables import ledger

ENTRIES = 8
KEY = Record(8, (Field("cgroup", "u64", 0, 1),))
LAYOUT = Map("opens", "percpu_hash", KEY, ENTRIES)


class CgroupCounts:
    """A map of counts by the id of a control group, and the living control groups."""

    def __init__(self) -> None:
        self.content: dict[int, int] = {}
        self.living: set[int] | None = set()
        self.announced: set[int] = set()
        self.gone: set[int] = set()
        self.doubted: set[int] = set()
        self.last_keys = np.zeros(0, dtype(KEY))

    def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        self.last_keys = np.array([(number,) for number in self.content], dtype(KEY))
        return self.last_keys, np.array(list(self.content.values()), np.uint64)

    def delete(self, keys: NDArray[Any]) -> None:
        for number in keys["cgroup"].tolist():
            self.content.pop(number, None)

    def walk(self) -> None:
        """Find the removed ones of the doubted, as a CgroupTree between two scrapes."""
        if self.living is not None:
            self.gone = self.doubted - self.living
        self.doubted = set()

    def removed(self) -> set[int]:
        return self.announced | self.gone

    def doubt(self, numbers: Set[int]) -> None:
        self.doubted |= numbers


def source_of(kernel: CgroupCounts) -> MapSource:
    return MapSource(cast(CountMap, kernel), LAYOUT, ledger(), KnownCgroups(kernel.removed, kernel.doubt))


def scrape(source: MapSource) -> int:
    source.read()
    _, by = source.take()
    source.settle()
    source.retire()
    return int(by.sum())


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9))), st.integers(0, 3), st.booleans(), st.booleans()
        )
    ),
)
def test_nothing_is_lost_when_control_groups_come_and_go(
    steps: list[tuple[list[tuple[int, int]], int, bool, bool]],
) -> None:
    kernel = CgroupCounts()
    source = source_of(kernel)
    alive, made, done, counted = [1], 1, 0, 0
    for opens, births, walkable, announced in steps:
        for which, times in opens:
            number = alive[which % len(alive)]
            if number in kernel.content or len(kernel.content) < ENTRIES:
                kernel.content[number] = kernel.content.get(number, 0) + times
                done += times
        alive = [*alive, *range(made + 1, made + 1 + births)][-3:]
        made += births
        kernel.living = set(alive) if walkable else None
        kernel.announced = set(range(made)) - set(alive) if announced else set()
        counted += scrape(source)
        kernel.walk()
    assert counted == done


def test_a_map_that_is_half_empty_is_left_alone() -> None:
    kernel = CgroupCounts()
    kernel.content = dict.fromkeys(range(ENTRIES // 2), 1)
    source = source_of(kernel)
    assert [scrape(source), scrape(source)] == [4, 0]
    assert (len(kernel.content), kernel.doubted) == (4, set())


def test_entries_of_the_gone_leave_a_map_that_fills() -> None:
    kernel = CgroupCounts()
    kernel.content = dict.fromkeys(range(ENTRIES), 1)
    kernel.living = {3, 5, 99}
    source = source_of(kernel)
    assert scrape(source) == 8
    kernel.content[7] += 6  # before the removal
    assert (scrape(source), len(kernel.content)) == (6, 8)
    kernel.walk()
    assert scrape(source) == 0
    assert sorted(kernel.content) == [3, 5]


def test_one_that_came_after_the_last_reading_stays() -> None:
    kernel = CgroupCounts()
    kernel.content = dict.fromkeys(range(5), 1)
    source = source_of(kernel)
    scrape(source)
    kernel.content[77] = 1
    assert scrape(source) == 1
    assert 77 not in kernel.doubted
    kernel.walk()
    assert scrape(source) == 0
    assert sorted(kernel.content) == [77]


def test_entries_leave_only_after_the_commit_of_their_counts() -> None:
    kernel = CgroupCounts()
    kernel.content = dict.fromkeys(range(3), 7)
    kernel.announced = {0, 2}
    source = source_of(kernel)
    scrape(source)
    source.read()  # as another thread, before this thread deletes
    source.retire()
    assert sorted(kernel.content) == [0, 1, 2]
    source.settle()
    source.retire()
    assert sorted(kernel.content) == [1]


def test_entries_of_the_announced_as_removed_leave_without_a_walk_when_a_quarter_is_taken() -> None:
    kernel = CgroupCounts()
    kernel.content = dict.fromkeys(range(3), 7)
    kernel.announced = {0, 2}
    source = source_of(kernel)
    assert [scrape(source), scrape(source)] == [21, 0]
    assert (list(kernel.content), kernel.doubted) == ([1], set())


def test_a_removed_one_that_is_still_to_be_read_is_read_before_it_leaves() -> None:
    kernel = CgroupCounts()
    kernel.content = dict.fromkeys(range(3), 7)
    source = source_of(kernel)
    assert scrape(source) == 21
    kernel.content[1] += 11
    kernel.announced = {1}
    assert scrape(source) == 11
    assert sorted(kernel.content) == [0, 2]
