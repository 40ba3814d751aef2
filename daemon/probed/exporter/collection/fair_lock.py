# SPDX-License-Identifier: Apache-2.0
"""A lock that threads get in the order of their requests, with pauses.

`collector` owns one. In a pause, the owner lets the waiting threads go first. A thread that releases a `threading.Lock`
and takes it again mostly gets it before any waiting thread.
"""

from __future__ import annotations

import threading
from types import TracebackType


class FairLock:
    """Not reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._served = 0

    def __enter__(self) -> None:
        with self._changed:
            number = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._served == number)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._served += 1
            self._changed.notify_all()

    @property
    def is_locked(self) -> bool:
        """Whether a thread has the lock."""
        return self._next > self._served

    def pause(self) -> None:
        """Let every thread that waits now have the lock first; called by the owner."""
        if self._next > self._served + 1:
            self.__exit__(None, None, None)
            self.__enter__()
