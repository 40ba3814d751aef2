# SPDX-License-Identifier: Apache-2.0
"""Requests pages at an interval, in a thread: the screen obeys keys while a daemon is slow to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from probed.commands.top.readings import Reading


class Poller:
    """Requests a reading every `interval` seconds, one at a time. `read` raises HostError where no page comes."""

    def __init__(self, read: Callable[[], Reading], interval: float) -> None:
        self._read = read
        self._interval = interval
        self._due = time.monotonic()
        self._answer: Future[Reading] | None = None

    def poll(self) -> Reading | None:
        """Return a new reading, None without one; start the next request when due. Raises the error of `read`."""
        if self._answer is None and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval
            self._answer = Future()
            # A daemon thread does not hold up the end of the command.
            threading.Thread(target=self._request, args=[self._answer], daemon=True).start()
        if self._answer is None or not self._answer.done():
            return None
        answer, self._answer = self._answer, None
        return answer.result()

    def _request(self, answer: Future[Reading]) -> None:
        try:
            answer.set_result(self._read())
        except Exception as error:  # `poll` raises every error again, in the main thread
            answer.set_exception(error)
