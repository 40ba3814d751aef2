# SPDX-License-Identifier: Apache-2.0
"""Keys and their numbers: no two keys merge, for any hash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from probed.exporter.arrays import key_index as module
from probed.exporter.arrays.key_index import KeyIndex, distinct


class OneSlot(KeyIndex):
    """Every key wants the last slot, so steps go round the end."""

    def _slots_of(self, keys: NDArray[Any]) -> NDArray[Any]:
        return np.full(keys.shape[1], self._mask, np.int64)


words = st.sampled_from([0, 1, 2, 3, 2**32, 2**63, 2**64 - 1])
pairs = st.lists(st.tuples(words, words), max_size=40)


def columns(of: list[tuple[int, int]]) -> NDArray[Any]:
    return np.array(of, np.uint64).reshape(-1, 2).T


@pytest.mark.parametrize("kind", [KeyIndex, OneSlot])
@given(batches=st.lists(pairs, max_size=4))
def test_keys_are_numbered_as_they_come_and_found_again(
    kind: type[KeyIndex], batches: list[list[tuple[int, int]]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROOM", 2)
        index = kind(2)
        expected: dict[tuple[int, int], int] = {}
        for batch in batches:
            assert index.find(columns(batch)).tolist() == [expected.get(pair, -1) for pair in batch]
            for pair in dict.fromkeys(batch):
                expected.setdefault(pair, len(expected))
            index.add(columns(list(dict.fromkeys(batch))))
            assert index.find(columns(batch)).tolist() == [expected[pair] for pair in batch]
        assert len(index) == len(expected)
        assert list(map(tuple, index.keys.T.tolist())) == list(expected)


def test_after_clearing_numbers_begin_at_0_again() -> None:
    index = KeyIndex(1)
    index.add(np.arange(5000, dtype=np.uint64).reshape(1, -1))
    index.clear()
    assert (len(index), index.find(np.array([[7]], np.uint64)).tolist()) == (0, [-1])
    index.add(np.array([[7]], np.uint64))
    assert index.find(np.array([[7, 0]], np.uint64)).tolist() == [0, -1]


@pytest.mark.parametrize("step", [1, 2, 1 << 20, 1 << 40, 1 << 51])
def test_keys_at_equal_steps_do_not_cluster(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[int] = []
    differ = KeyIndex._differ

    def count(self: KeyIndex, numbers: NDArray[Any], keys: NDArray[Any]) -> NDArray[Any]:
        looked_up[-1] += len(numbers)
        return differ(self, numbers, keys)

    keys = np.stack((np.arange(4096, dtype=np.uint64) * np.uint64(step), np.zeros(4096, np.uint64)))
    tables = [KeyIndex(2) for _ in range(31)]
    for table in tables:
        table.add(keys)
    monkeypatch.setattr(KeyIndex, "_differ", count)
    for table in tables:
        looked_up.append(0)
        table.find(keys)
    # The factors are drawn, and a few draws are unlucky for a given step: most must not be.
    assert sorted(looked_up)[len(tables) // 2] < 2 * 4096


@given(pairs.filter(len))
def test_distinct_keys_stand_in_the_order_of_their_first(batch: list[tuple[int, int]]) -> None:
    once, which = distinct(columns(batch))
    assert list(map(tuple, once.T.tolist())) == list(dict.fromkeys(batch))
    assert [tuple(once[:, at].tolist()) for at in which] == batch
