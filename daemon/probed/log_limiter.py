# SPDX-License-Identifier: Apache-2.0
"""Log lines for faults that strangers or a broken part can cause again and again: each once a minute at most.

The HTTP application and its server use it. It counts nothing; it only keeps the journal readable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

PERIOD = 60.0
MOST = 16


class Seldom:
    """A logger's quiet side: no text twice in `PERIOD` seconds, and no more than `MOST` texts in them."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def log(self, level: int, text: str) -> None:
        """Log `text`, unless it was said just now; in an `except` block, log the traceback at level debug."""
        self._log.debug("%s", text, exc_info=True)
        if self._is_new(text):
            self._log.log(level, "%s", text)

    def _is_new(self, text: str) -> bool:
        now = self._clock()
        with self._lock:
            self._said = {said: at for said, at in self._said.items() if now - at < PERIOD}
            if text in self._said or len(self._said) >= MOST:
                return False
            self._said[text] = now
            return True
