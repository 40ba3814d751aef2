# SPDX-License-Identifier: Apache-2.0
"""Keys find their rows, are looked up once, and follow moving rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype, key_words
from probed.exporter.series.budget import OTHER
from probed.exporter.series.key_cache import (
    BURST_KEYS,
    KEYS_A_SECOND,
    KEYS_AT_ONCE,
    LEAST_KEYS_A_BATCH,
    Allowance,
    KeyCache,
)
from probed.ipc.manifest import Field, Record


class Rows:
    """Gives every key a row of its own, and notes all calls."""

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


def cache_of(rows: Rows, most: int, first_waiting: int = 1 << 30, clock: Clock | None = None) -> KeyCache:
    return KeyCache(2, rows, most, first_waiting, Allowance(clock or Clock()))


batches = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=50), max_size=5)


@given(batches)
def test_different_keys_never_share_a_row(data: list[list[int]]) -> None:
    rows = Rows()
    cache = cache_of(rows, 1000)
    for batch in data:
        assert cache.rows(keys(batch)).tolist() == [rows.of[key] for key in batch]
    assert sorted(rows.asked) == sorted(rows.of)


@given(batches, st.integers(1, 10))
def test_remembering_fewer_keys_than_there_are_changes_nothing(data: list[list[int]], most: int) -> None:
    rows = Rows()
    cache = cache_of(rows, most)
    for batch in data:
        assert cache.rows(keys(batch)).tolist() == [rows.of[key] for key in batch]


def test_keys_follow_rows_that_move() -> None:
    rows = Rows()
    cache = cache_of(rows, 10)
    cache.rows(keys([5, 6, 7]))
    cache.move(np.array([2, -1, 0, -1]))
    rows.of = {6: 9}
    rows.asked.clear()
    assert cache.rows(keys([5, 6, 7, 6])).tolist() == [2, 9, 0, 9]
    assert rows.asked == [6]
    assert cache.rows(keys([6])).tolist() == [9]
    assert rows.asked == [6]


def test_a_forgotten_key_is_asked_for_again() -> None:
    rows = Rows()
    cache = cache_of(rows, 10)
    cache.rows(keys([5, 5, 6]))
    cache.forget()
    cache.rows(keys([6]))
    assert rows.asked == [5, 6, 6]


def test_char_arrays_of_odd_length_are_compared_whole() -> None:
    record = Record(5, (Field("tag", "char", 0, 5),))
    words = key_words(np.frombuffer(b"abcdeabcdfabcde", dtype(record)), record.fields)
    assert (words[:, 0] == words[:, 2]).all()
    assert (words[:, 0] != words[:, 1]).any()


def test_new_keys_beyond_the_allowance_count_into_other_and_are_not_asked_for() -> None:
    rows = Rows()
    cache = cache_of(rows, 1 << 20)
    burst = list(range(2, 2 + BURST_KEYS))
    cache.rows(keys(burst))
    assert len(rows.asked) == BURST_KEYS
    rows.asked.clear()
    late = list(range(10**6, 10**6 + 1009))
    found = cache.rows(keys(late))
    assert len(rows.asked) == LEAST_KEYS_A_BATCH
    assert (found == OTHER).sum() == 1009 - LEAST_KEYS_A_BATCH
    assert (cache.rows(keys(burst)) != OTHER).sum() == BURST_KEYS - 1


def test_under_pressure_a_batch_resolves_few_new_keys_the_heaviest_first() -> None:
    rows = Rows()
    allowance = Allowance(Clock(), lambda: True)
    heavy = 7 * 10**6
    found = KeyCache(2, rows, 1 << 20, 0, allowance).rows(keys([*range(2, 1011), heavy, heavy]))
    assert len(rows.asked) == LEAST_KEYS_A_BATCH
    assert set(found[-2:].tolist()) == {rows.of[heavy]}


def test_pressure_within_a_batch_leaves_the_rest_to_other() -> None:
    rows, looks = Rows(), iter([False, False, True])  # before the batch, and after each part
    allowance = Allowance(Clock(), lambda: next(looks))
    cache = KeyCache(2, rows, 1 << 20, 0, allowance)
    found = cache.rows(keys(list(range(2, 2 + 3 * KEYS_AT_ONCE))))
    assert len(rows.asked) == 2 * KEYS_AT_ONCE
    assert (found == OTHER).sum() == KEYS_AT_ONCE + 1  # and the row of the second key
    allowance.is_pressed = lambda: False
    assert allowance.available() == BURST_KEYS - 2 * KEYS_AT_ONCE


def test_a_key_with_many_events_gets_its_row_in_a_storm_of_unique_keys() -> None:
    rows = Rows()
    cache = cache_of(rows, 1 << 20)
    cache.rows(keys(list(range(2, 2 + BURST_KEYS))))
    storm = list(range(10**6, 10**6 + 5003))
    neighbour = [7 * 10**6] * 101
    found = cache.rows(keys(storm + neighbour))
    assert set(found[len(storm) :].tolist()) == {rows.of[7 * 10**6]}


def test_the_allowance_grows_with_time() -> None:
    rows, clock = Rows(), Clock()
    cache = cache_of(rows, 1 << 20, clock=clock)
    cache.rows(keys(list(range(2, 2 + BURST_KEYS))))
    rows.asked.clear()
    clock.now += 0.25
    cache.rows(keys(list(range(10**6, 10**6 + 8009))))
    assert len(rows.asked) == KEYS_A_SECOND // 4


def test_a_full_cache_forgets_the_keys_that_wait_and_keeps_those_of_rows() -> None:
    rows = Rows()
    cache = cache_of(rows, 100, first_waiting=10)
    first = list(range(1000, 1010))
    cache.rows(keys(first))
    for unique in range(2000, 2500):
        cache.rows(keys([unique]))
    rows.asked.clear()
    cache.rows(keys(first))
    assert rows.asked == []


def test_the_keys_with_the_largest_increments_come_first() -> None:
    asked = Rows()
    cache = cache_of(asked, 1 << 20)
    cache.rows(keys(list(range(2, 2 + BURST_KEYS))))
    late = list(range(10**6, 10**6 + 1009))
    times = np.ones(1009, np.int64)
    times[1000] = 7
    assert cache.rows(keys(late), times)[1000] == asked.of[10**6 + 1000]
