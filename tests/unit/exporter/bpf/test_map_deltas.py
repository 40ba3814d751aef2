# SPDX-License-Identifier: Apache-2.0
"""MapDeltas of kernel counts add up to the kernel's counts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.bpf.map_deltas import MapDeltas
from support.unit.series_tables import ledger, state


def since(increments: MapDeltas, counts: list[tuple[int, int]]) -> dict[int, int]:
    keys = np.array([[key for key, _ in counts]], np.uint64)
    risen, by = increments.since(keys, np.array([count for _, count in counts], np.uint64))
    return dict(zip(keys[0, risen].tolist(), by.tolist(), strict=True))


@given(st.lists(st.dictionaries(st.integers(0, 50), st.integers(0, 2**50), max_size=50)))
def test_increments_add_up_to_the_counts(grown: list[dict[int, int]]) -> None:
    increments, counts, total = MapDeltas(ledger(), 1, 64), Counter[int](), Counter[int]()
    for more in grown:
        counts.update(more)
        total.update(since(increments, list(counts.items())))
        assert +total == +counts


def test_what_has_not_risen_is_not_there() -> None:
    increments = MapDeltas(ledger(), 1, 64)
    since(increments, [(1, 5), (2, 6)])
    assert since(increments, [(1, 5), (2, 8)]) == {2: 2}
    assert since(increments, []) == {}


def test_a_count_that_falls_gives_nothing_until_it_is_higher_again() -> None:
    increments = MapDeltas(ledger(), 1, 64)
    since(increments, [(1, 10)])
    assert since(increments, [(1, 9)]) == {}
    assert since(increments, [(1, 12)]) == {1: 2}


def test_keys_that_the_map_has_no_more_make_room() -> None:
    """A key that comes again counts from 0, as in the map."""
    increments = MapDeltas(ledger(), 1, 64)
    since(increments, [(key, 5) for key in range(64)])
    assert since(increments, [(key, 7) for key in range(32, 96)]) == {
        **dict.fromkeys(range(32, 64), 2), **dict.fromkeys(range(64, 96), 7),
    }  # fmt: skip
    since(increments, [(key, 7) for key in range(64, 96)])
    assert since(increments, [(key, 3) for key in (*range(32), *range(64, 96))]) == dict.fromkeys(range(32), 3)


def test_a_key_without_a_count_is_none_that_is_gone() -> None:
    """Some counts may be on the way into the map."""
    increments = MapDeltas(ledger(), 1, 4)
    since(increments, [(key, 5) for key in range(4)])
    assert since(increments, [(3, 0), (4, 1)]) == {4: 1}
    assert since(increments, [(3, 7), (4, 1)]) == {3: 2}
    assert since(MapDeltas(ledger(), 1, 4), [(1, 0)]) == {}


sums_and_counts = st.tuples(st.integers(0, 2**60) | st.just(2**64 - 1), st.integers(0, 9))


@given(st.lists(st.dictionaries(st.integers(0, 9), sums_and_counts, max_size=9), max_size=6))
def test_increments_of_sums_and_counts_add_up_over_a_restart(readings: list[dict[int, tuple[int, int]]]) -> None:
    with state() as fd:
        most, total = dict[int, tuple[int, int]](), Counter[tuple[int, int]]()
        for reading in readings:
            memory = Ledger(fd, "x")
            increments = MapDeltas(memory, 1, 16, counts=2)
            keys, pairs = np.array([list(reading)], np.uint64), list(reading.values())
            risen, by = increments.since(keys, np.array(pairs, np.uint64).reshape(len(pairs), 2))
            memory.commit()
            for key, both in zip(keys[0, risen].tolist(), by.tolist(), strict=True):
                total.update({(key, column): more for column, more in enumerate(both)})
            for key, (of_sum, of_count) in reading.items():
                before = most.get(key, (0, 0))
                most[key] = max(min(of_sum, 2**63 - 1), before[0]), max(of_count, before[1])
        assert +total == +Counter({(key, column): both[column] for key, both in most.items() for column in (0, 1)})
