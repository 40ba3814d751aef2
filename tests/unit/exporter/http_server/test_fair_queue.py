# SPDX-License-Identifier: Apache-2.0
"""The queue of requests, fair between keys."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.http_server.fair_queue import FairQueue


def drained(queue: FairQueue[str]) -> list[str]:
    return [str(queue.take()) for _ in range(len(queue))]


def test_keys_take_turns() -> None:
    queue = FairQueue[str](10)
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        assert queue.put(item[0], item) is None
    assert drained(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_key_with_the_most_items_loses_its_newest() -> None:
    queue = FairQueue[str](3)
    assert [queue.put("a", item) for item in ("a1", "a2", "a3", "a4")] == [None, None, None, "a4"]
    assert queue.put("b", "b1") == "a3"
    assert queue.put("b", "b2") == "b2"
    assert drained(queue) == ["a1", "b1", "a2"]


def test_an_item_for_a_waiting_thread_needs_no_capacity() -> None:
    queue = FairQueue[str](0)
    assert queue.put("a", "refused") == "refused"
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(queue.take()))
    taker.start()
    while queue.put("a", "taken") is not None:
        pass
    taker.join()
    assert taken == ["taken"]


def test_take_returns_none_once_closed_and_empty() -> None:
    queue = FairQueue[str](1)
    queue.put("a", "a1")
    queue.close()
    assert (queue.take(), queue.take()) == ("a1", None)


@given(st.lists(st.sampled_from("abcde")), st.integers(1, 5))
def test_no_item_disappears_and_every_key_keeps_its_share(puts: list[str], capacity: int) -> None:
    queue = FairQueue[int](capacity)
    evicted = [queue.put(key, number) for number, key in enumerate(puts)]
    kept = [number for _ in range(len(queue)) if (number := queue.take()) is not None]
    assert sorted([*kept, *(item for item in evicted if item is not None)]) == list(range(len(puts)))
    assert len(kept) == min(capacity, len(puts))
    assert len({puts[number] for number in kept}) >= min(len(set(puts)), len(kept), capacity)
