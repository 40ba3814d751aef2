# SPDX-License-Identifier: Apache-2.0
"""A filter of `logging` for lines that clients or a broken part can repeat without end.

A logging call marks such a line: ``LOG.error("…", exc_info=True, extra=REPEATABLE)``. `log.start` installs the filter.
The filter counts nothing: metrics count these faults.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

REPEATABLE: Final[Mapping[str, object]] = {"repeatable": True}
"""Marks a log record for `LogLimiter`."""

PERIOD = 60.0
MOST_TEXTS = 16


class LogLimiter(logging.Filter):
    """Passes a marked text once in `PERIOD` seconds, and at most `MOST_TEXTS` texts of one logging call in that time.

    Level debug adds the traceback of a marked record, and repetitions as records of level debug.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[tuple[str, int], dict[str, float]] = {}
        """When each text was logged, by file and line of the logging call."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the handler logs a record."""
        if not hasattr(record, "repeatable"):
            return True
        due = self._is_due((record.pathname, record.lineno), record.getMessage())
        if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            if not due:
                record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            return True
        record.exc_info = None
        return due

    def _is_due(self, place: tuple[str, int], text: str) -> bool:
        now = self._clock()
        with self._lock:
            logged = {said: at for said, at in self._logged.get(place, {}).items() if now - at < PERIOD}
            self._logged[place] = logged
            if text in logged or len(logged) >= MOST_TEXTS:
                return False
            logged[text] = now
            return True
