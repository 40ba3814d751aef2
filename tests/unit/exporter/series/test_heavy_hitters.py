# SPDX-License-Identifier: Apache-2.0
"""The summary of waiting label sets: small, never too high, and too low by no more than promised."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.series.heavy_hitters import HeavyHitters

LIMIT = 8


def come(waiting: HeavyHitters, names: list[int]) -> None:
    rows = [waiting.row((str(name),)) for name in names]
    waiting.add(np.bincount(np.array(rows, np.intp)))
    kept = waiting.evict()
    if kept is not None:
        waiting.keep(kept)


def counts(waiting: HeavyHitters) -> dict[tuple[str, ...], int]:
    return dict(zip(waiting.labels, waiting.counts.tolist(), strict=True))


@given(st.lists(st.lists(st.integers(0, 3) | st.integers(0, 60), min_size=1, max_size=30)))
def test_a_count_is_never_too_high_and_too_low_by_a_share_of_all_at_most(batches: list[list[int]]) -> None:
    waiting = HeavyHitters(LIMIT)
    exact: Counter[int] = Counter()
    for batch in batches:
        come(waiting, batch)
        exact.update(batch)
        assert len(waiting) <= LIMIT
        guaranteed = counts(waiting)
        for name, count in exact.items():
            assert 0 <= count - guaranteed.get((str(name),), 0) <= exact.total() // (LIMIT // 2 + 1)


def test_a_heavy_one_outlives_any_number_of_names_that_come_once() -> None:
    waiting = HeavyHitters(LIMIT)
    for batch in range(100):
        come(waiting, [*range(1000 * batch, 1000 * batch + 97), -1, -1, -1])
    guaranteed = counts(waiting)
    assert guaranteed.pop(("-1",)) == 200  # each batch subtracts the one event of the others
    assert not guaranteed


def test_rows_move_up_when_others_leave() -> None:
    waiting = HeavyHitters(LIMIT)
    come(waiting, [5, 6, 6, 7])
    assert waiting.keep(np.array([False, True, True])).tolist() == [-1, 0, 1]
    assert counts(waiting) == {("6",): 2, ("7",): 1}
    assert waiting.row(("7",)) == 1


def test_a_new_window_begins_at_zero() -> None:
    waiting = HeavyHitters(LIMIT)
    come(waiting, [5, 6, 6])
    waiting.begin_window()
    assert counts(waiting) == {("5",): 0, ("6",): 0}
