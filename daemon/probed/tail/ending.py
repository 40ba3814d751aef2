# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM as a wish to end, which interrupts no batch of rows. The second one interrupts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Whether the tail is to end; `fd` turns readable then."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_wanted = False

    def handle(self, *_: int | FrameType | None) -> None:
        """Note the wish, and let the next signal raise KeyboardInterrupt."""
        self.is_wanted = True
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def ending() -> Iterator[Ending]:
    """Handle both signals for the time of the context."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    try:
        found = Ending(readable)
        for number in SIGNALS:
            signal.signal(number, found.handle)
        yield found
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(readable)
        os.close(writable)
