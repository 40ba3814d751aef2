# SPDX-License-Identifier: Apache-2.0
"""A bounded queue, shared fairly between keys: a key with many items delays only its own.

`server` queues the requests of all clients by client key. The queue knows nothing of requests.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by key; keys take turns. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        """Hold at most `capacity` items, plus one for each thread that waits in `take`."""
        self._capacity = capacity
        self._waiting: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._count = 0
        self._idle = 0
        self._closed = False
        self._change = threading.Condition()

    def __len__(self) -> int:
        return self._count

    def put(self, key: Hashable, item: T) -> T | None:
        """Add an item; return the evicted item: the newest item of the key with the most items, maybe `item`."""
        with self._change:
            if self._count < self._capacity + self._idle:
                self._add(key, item)
                return None
            most = max(self._waiting, key=lambda each: len(self._waiting[each]), default=key)
            if len(self._waiting.get(most, ())) <= len(self._waiting.get(key, ())) + 1:
                return item
            evicted = self._waiting[most].pop()
            self._count -= 1
            self._add(key, item)
            return evicted

    def _add(self, key: Hashable, item: T) -> None:
        self._waiting.setdefault(key, deque()).append(item)
        self._count += 1
        self._change.notify()

    def take(self) -> T | None:
        """Wait for an item and remove it: the oldest item of the next key. None once closed and empty."""
        with self._change:
            while not self._waiting:
                if self._closed:
                    return None
                self._idle += 1
                self._change.wait()
                self._idle -= 1
            key, items = self._waiting.popitem(last=False)
            item = items.popleft()
            self._count -= 1
            if items:
                self._waiting[key] = items
            return item

    def close(self) -> None:
        """End `take` in all threads once the queue is empty."""
        with self._change:
            self._closed = True
            self._change.notify_all()
