# SPDX-License-Identifier: Apache-2.0
"""Reloads requested by HTTP: the supervisor reloads, and reports the result.

The application calls `reload` in a page thread; the drain loop reports the result with `ended`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

PATIENCE = 20.0
"""Seconds that a client waits for the result; a longer request would count as stuck."""


class ReloadRequests:
    """One reload at a time."""

    def __init__(self, ask: Callable[[], None]) -> None:
        """`ask` sends the request to the supervisor."""
        self._ask = ask
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._wrong = ""

    def reload(self) -> str:
        """Request a reload and wait for the result; return the faults, "" for none."""
        if not self._turn.acquire(blocking=False):
            return "another reload requested by HTTP is still running; try again when it has ended"
        try:
            self._ended.clear()
            self._ask()
            if self._ended.wait(PATIENCE):
                return self._wrong
            return f"the reload has not ended within {PATIENCE:g} s; see the log"
        finally:
            self._turn.release()

    def ended(self, wrong: str) -> None:
        """Take the result of the reload: the faults, "" for none."""
        self._wrong = wrong
        self._ended.set()
