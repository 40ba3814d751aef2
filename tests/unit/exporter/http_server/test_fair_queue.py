# SPDX-License-Identifier: Apache-2.0
"""A queue in which everybody gets a turn."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.http_server.fair_queue import Turns


def drained(turns: Turns[str]) -> list[str]:
    return [str(turns.take()) for _ in range(len(turns))]


def test_everybody_gets_a_turn() -> None:
    turns = Turns[str](10)
    for thing in ("a1", "a2", "a3", "b1", "c1", "b2"):
        assert turns.put(thing[0], thing) is None
    assert drained(turns) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_has_most_gives_way_to_who_has_less() -> None:
    turns = Turns[str](3)
    assert [turns.put("a", thing) for thing in ("a1", "a2", "a3", "a4")] == [None, None, None, "a4"]
    assert turns.put("b", "b1") == "a3"
    assert turns.put("b", "b2") == "b2"
    assert drained(turns) == ["a1", "b1", "a2"]


def test_what_somebody_waits_to_take_needs_no_room() -> None:
    turns = Turns[str](0)
    assert turns.put("a", "refused") == "refused"
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(turns.take()))
    taker.start()
    while turns.put("a", "taken") is not None:
        pass
    taker.join()
    assert taken == ["taken"]


def test_a_closed_queue_sends_its_takers_home() -> None:
    turns = Turns[str](1)
    turns.put("a", "a1")
    turns.close()
    assert (turns.take(), turns.take()) == ("a1", None)


@given(st.lists(st.sampled_from("abcde")), st.integers(1, 5))
def test_nothing_is_lost_and_nobody_has_more_than_his_share(puts: list[str], room: int) -> None:
    turns = Turns[int](room)
    lost = [turns.put(whom, number) for number, whom in enumerate(puts)]
    kept = [number for _ in range(len(turns)) if (number := turns.take()) is not None]
    assert sorted([*kept, *(thing for thing in lost if thing is not None)]) == list(range(len(puts)))
    assert len(kept) == min(room, len(puts))
    assert len({puts[number] for number in kept}) >= min(len(set(puts)), len(kept), room)
