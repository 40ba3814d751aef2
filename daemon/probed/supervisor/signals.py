# SPDX-License-Identifier: Apache-2.0
"""Signals behind a descriptor, which the supervisor's loop waits for."""

from __future__ import annotations

import signal
import socket

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Catches SIGNALS; `fileno` turns readable after one."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno())

    def fileno(self) -> int:
        """Return the descriptor for selectors."""
        return self._reader.fileno()

    def read(self) -> list[signal.Signals]:
        """Return the signals since the last call; waits for none, so call it when `fileno` is readable."""
        return list(map(signal.Signals, self._reader.recv(64)))
