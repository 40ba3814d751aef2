# SPDX-License-Identifier: Apache-2.0
"""Keys find their rows, are looked up once, and follow moving rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.dtypes import dtype, key_words
from probed.exporter.series.key_cache import KeyCache
from probed.ipc.manifest import Field, Record


class Rows:
    """Gives every key a row of its own, and notes all calls."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.asked: list[int] = []

    def __call__(self, keys: np.ndarray) -> list[int]:
        assert len(set(keys[0].tolist())) == keys.shape[1]
        self.asked += keys[0].tolist()
        return [self.of.setdefault(key, len(self.of)) for key in keys[0].tolist()]


def keys(of: list[int]) -> np.ndarray:
    return np.array([of, [7] * len(of)], np.uint64)


batches = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=50), max_size=5)


@given(batches)
def test_different_keys_never_share_a_row(data: list[list[int]]) -> None:
    rows = Rows()
    cache = KeyCache(2, rows, 1000)
    for batch in data:
        assert cache.rows(keys(batch)).tolist() == [rows.of[key] for key in batch]
    assert sorted(rows.asked) == sorted(rows.of)


@given(batches, st.integers(1, 10))
def test_remembering_fewer_keys_than_there_are_changes_nothing(data: list[list[int]], most: int) -> None:
    rows = Rows()
    cache = KeyCache(2, rows, most)
    for batch in data:
        assert cache.rows(keys(batch)).tolist() == [rows.of[key] for key in batch]


def test_keys_follow_rows_that_move() -> None:
    rows = Rows()
    cache = KeyCache(2, rows, 10)
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
    cache = KeyCache(2, rows, 10)
    cache.rows(keys([5, 5, 6]))
    cache.forget()
    cache.rows(keys([6]))
    assert rows.asked == [5, 6, 6]


def test_char_arrays_of_odd_length_are_compared_whole() -> None:
    record = Record(5, (Field("tag", "char", 0, 5),))
    words = key_words(np.frombuffer(b"abcdeabcdfabcde", dtype(record)), record.fields)
    assert (words[:, 0] == words[:, 2]).all()
    assert (words[:, 0] != words[:, 1]).any()
