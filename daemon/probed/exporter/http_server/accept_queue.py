# SPDX-License-Identifier: Apache-2.0
"""Accepted sockets that the reactor does not serve yet, bounded, and fair between client keys.

The reactor first accepts all waiting clients, then serves them: so thousands of connections from one address delay no
other address.
"""

from __future__ import annotations

import socket
from collections import OrderedDict, deque


class AcceptQueue:
    """Accepted sockets by client key; keys take turns. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        """Hold at most `capacity` sockets."""
        self._capacity = capacity
        self._waiting: OrderedDict[bytes, deque[socket.socket]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, key: bytes, accepted: socket.socket) -> socket.socket | None:
        """Add a socket; return the evicted one: the oldest socket of the key with the most sockets."""
        self._waiting.setdefault(key, deque()).append(accepted)
        self._count += 1
        return self.evict() if self._count > self._capacity else None

    def evict(self) -> socket.socket | None:
        """Remove the oldest socket of the key with the most sockets; None when the queue is empty."""
        key = max(self._waiting, key=lambda each: len(self._waiting[each]), default=None)
        return None if key is None else self._remove(key)

    def take(self) -> tuple[bytes, socket.socket]:
        """Remove the oldest socket of the next key; return key and socket. Raises StopIteration when empty."""
        key = next(iter(self._waiting))
        accepted = self._remove(key)
        if key in self._waiting:
            self._waiting.move_to_end(key)
        return key, accepted

    def _remove(self, key: bytes) -> socket.socket:
        accepted = self._waiting[key].popleft()
        if not self._waiting[key]:
            del self._waiting[key]
        self._count -= 1
        return accepted
