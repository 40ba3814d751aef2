# SPDX-License-Identifier: Apache-2.0
"""The queue of accepted sockets, with text in place of sockets."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.http_server.accept_queue import AcceptQueue


def filled(queue: Any, *items: str) -> list[str | None]:
    return [queue.put(item[0].encode(), item) for item in items]


def drained(queue: Any) -> list[str]:
    return [queue.take()[1] for _ in range(len(queue))]


def test_keys_take_turns() -> None:
    queue = AcceptQueue(10)
    assert filled(queue, "a1", "a2", "a3", "b1", "c1", "b2") == [None] * 6
    assert drained(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_key_with_the_most_sockets_loses_its_oldest() -> None:
    queue = AcceptQueue(3)
    assert filled(queue, "a1", "a2", "a3", "a4", "b1") == [None, None, None, "a1", "a2"]
    assert queue.evict() == "a3"  # type: ignore[comparison-overlap]
    assert drained(queue) == ["a4", "b1"]
    assert queue.evict() is None


@given(st.lists(st.sampled_from("abcde")), st.integers(1, 5))
def test_no_socket_disappears_and_every_key_keeps_its_share(puts: list[str], capacity: int) -> None:
    queue = AcceptQueue(capacity)
    items = [f"{key}{number}" for number, key in enumerate(puts)]
    evicted = [item for item in filled(queue, *items) if item is not None]
    kept = drained(queue)
    assert sorted([*kept, *evicted]) == sorted(items)
    assert len(kept) == min(capacity, len(items))
    assert len({item[0] for item in kept}) == min(len(set(puts)), capacity)
