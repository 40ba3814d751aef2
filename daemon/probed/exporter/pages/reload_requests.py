# SPDX-License-Identifier: Apache-2.0
"""ReloadRequests that somebody asked for by HTTP: the supervisor does them, and says how they ended.

`http` asks in one of its threads, `loop` brings the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

PATIENCE = 20.0
"""Seconds that somebody waits for the end, which comes in any case: longer than that, a request counts as stuck."""


class ReloadRequests:
    """One reload at a time."""

    def __init__(self, ask: Callable[[], None]) -> None:
        """`ask` sends the wish to the supervisor."""
        self._ask = ask
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._wrong = ""

    def reload(self) -> str:
        """Have the configuration read again and wait for the end; return what was wrong, "" when nothing was."""
        if not self._turn.acquire(blocking=False):
            return "another reload that was asked for by HTTP is still going on; try again when it has ended"
        try:
            self._ended.clear()
            self._ask()
            if self._ended.wait(PATIENCE):
                return self._wrong
            return f"it has not ended within {PATIENCE:g} s; the log tells how it goes on"
        finally:
            self._turn.release()

    def ended(self, wrong: str) -> None:
        """Note how the reload ended."""
        self._wrong = wrong
        self._ended.set()
