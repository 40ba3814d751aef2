# SPDX-License-Identifier: Apache-2.0
"""Signals as something to wait for beside other things: `daemon` reads them in its loop."""

from __future__ import annotations

import signal
import socket

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """From here on these signals do nothing by themselves; `fileno` turns readable when there were some."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno())

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._reader.fileno()

    def read(self) -> list[signal.Signals]:
        """Return those that came since, one at least."""
        return list(map(signal.Signals, self._reader.recv(64)))
