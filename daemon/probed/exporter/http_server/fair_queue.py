# SPDX-License-Identifier: Apache-2.0
"""A bounded queue in which everybody gets a turn: who asks much waits behind himself, not others behind him.

`server` keeps the requests of all clients in one, by address. It knows nothing of requests.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Things that wait, by whom they are for. Thread-safe."""

    def __init__(self, room: int) -> None:
        """Let `room` things wait at most, besides those that somebody takes at once."""
        self._room = room
        self._waiting: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._count = 0
        self._idle = 0
        self._closed = False
        self._change = threading.Condition()

    def __len__(self) -> int:
        return self._count

    def put(self, whom: Hashable, thing: T) -> T | None:
        """Let a thing wait; return the one that finds no room: the newest of him who has most, maybe `thing`."""
        with self._change:
            if self._count < self._room + self._idle:
                self._add(whom, thing)
                return None
            most = max(self._waiting, key=lambda each: len(self._waiting[each]), default=whom)
            if len(self._waiting.get(most, ())) <= len(self._waiting.get(whom, ())) + 1:
                return thing
            loser = self._waiting[most].pop()
            self._count -= 1
            self._add(whom, thing)
            return loser

    def _add(self, whom: Hashable, thing: T) -> None:
        self._waiting.setdefault(whom, deque()).append(thing)
        self._count += 1
        self._change.notify()

    def take(self) -> T | None:
        """Wait for a thing and take it: everybody's oldest in turn. None once it is closed and empty."""
        with self._change:
            while not self._waiting:
                if self._closed:
                    return None
                self._idle += 1
                self._change.wait()
                self._idle -= 1
            whom, things = self._waiting.popitem(last=False)
            thing = things.popleft()
            self._count -= 1
            if things:
                self._waiting[whom] = things
            return thing

    def close(self) -> None:
        """Let those who take go home when nothing waits any more."""
        with self._change:
            self._closed = True
            self._change.notify_all()
