# SPDX-License-Identifier: Apache-2.0
"""Keys find their cells, are asked for once, and follow cells that move."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype, key_words
from probed.exporter.series.budget import OTHER
from probed.exporter.series.key_cache import BURST_KEYS, KEYS_A_SECOND, LEAST_KEYS_A_BATCH, Allowance, Grouping
from probed.ipc.manifest import Field, Record


class Cells:
    """Gives every key a cell of its own, and notes which it was asked for."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.asked: list[int] = []

    def __call__(self, keys: NDArray[Any]) -> list[int]:
        assert len(set(keys[0].tolist())) == keys.shape[1]
        self.asked += keys[0].tolist()
        return [self.of.setdefault(key, len(self.of)) for key in keys[0].tolist()]


def keys(of: list[int]) -> NDArray[Any]:
    return np.array([of, [7] * len(of)], np.uint64)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def grouping_of(cells: Cells, most: int, first_waiting: int = 1 << 30, clock: Clock | None = None) -> Grouping:
    return Grouping(2, cells, most, first_waiting, Allowance(clock or Clock()))


batches = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=50), max_size=5)


@given(batches)
def test_different_keys_never_share_a_cell(data: list[list[int]]) -> None:
    cells = Cells()
    grouping = grouping_of(cells, 1000)
    for batch in data:
        assert grouping.cells(keys(batch)).tolist() == [cells.of[key] for key in batch]
    assert sorted(cells.asked) == sorted(cells.of)


@given(batches, st.integers(1, 10))
def test_remembering_fewer_keys_than_there_are_changes_nothing(data: list[list[int]], most: int) -> None:
    cells = Cells()
    grouping = grouping_of(cells, most)
    for batch in data:
        assert grouping.cells(keys(batch)).tolist() == [cells.of[key] for key in batch]


def test_keys_follow_cells_that_move() -> None:
    cells = Cells()
    grouping = grouping_of(cells, 10)
    grouping.cells(keys([5, 6, 7]))
    grouping.move(np.array([2, -1, 0, -1]))
    cells.of = {6: 9}
    cells.asked.clear()
    assert grouping.cells(keys([5, 6, 7, 6])).tolist() == [2, 9, 0, 9]
    assert cells.asked == [6]
    assert grouping.cells(keys([6])).tolist() == [9]
    assert cells.asked == [6]


def test_a_forgotten_key_is_asked_for_again() -> None:
    cells = Cells()
    grouping = grouping_of(cells, 10)
    grouping.cells(keys([5, 5, 6]))
    grouping.forget()
    grouping.cells(keys([6]))
    assert cells.asked == [5, 6, 6]


def test_char_arrays_of_odd_length_are_compared_whole() -> None:
    record = Record(5, (Field("tag", "char", 0, 5),))
    words = key_words(np.frombuffer(b"abcdeabcdfabcde", dtype(record)), record.fields)
    assert (words[:, 0] == words[:, 2]).all()
    assert (words[:, 0] != words[:, 1]).any()


def test_new_keys_beyond_the_allowance_count_into_other_and_are_not_asked_for() -> None:
    cells = Cells()
    grouping = grouping_of(cells, 1 << 20)
    burst = list(range(2, 2 + BURST_KEYS))
    grouping.cells(keys(burst))
    assert len(cells.asked) == BURST_KEYS
    cells.asked.clear()
    late = list(range(10**6, 10**6 + 1009))
    found = grouping.cells(keys(late))
    assert len(cells.asked) == LEAST_KEYS_A_BATCH
    assert (found == OTHER).sum() == 1009 - LEAST_KEYS_A_BATCH
    assert (grouping.cells(keys(burst)) != OTHER).sum() == BURST_KEYS - 1


def test_a_key_with_many_events_gets_its_cell_in_a_storm_of_unique_keys() -> None:
    cells = Cells()
    grouping = grouping_of(cells, 1 << 20)
    grouping.cells(keys(list(range(2, 2 + BURST_KEYS))))
    storm = list(range(10**6, 10**6 + 5003))
    neighbour = [7 * 10**6] * 101
    found = grouping.cells(keys(storm + neighbour))
    assert set(found[len(storm) :].tolist()) == {cells.of[7 * 10**6]}


def test_the_allowance_grows_with_time() -> None:
    cells, clock = Cells(), Clock()
    grouping = grouping_of(cells, 1 << 20, clock=clock)
    grouping.cells(keys(list(range(2, 2 + BURST_KEYS))))
    cells.asked.clear()
    clock.now += 0.25
    grouping.cells(keys(list(range(10**6, 10**6 + 8009))))
    assert len(cells.asked) == KEYS_A_SECOND // 4


def test_a_full_cache_forgets_the_keys_that_wait_and_keeps_those_of_rows() -> None:
    cells = Cells()
    grouping = grouping_of(cells, 100, first_waiting=10)
    rows = list(range(1000, 1010))
    grouping.cells(keys(rows))
    for unique in range(2000, 2500):
        grouping.cells(keys([unique]))
    cells.asked.clear()
    grouping.cells(keys(rows))
    assert cells.asked == []
