# SPDX-License-Identifier: Apache-2.0
"""Gets pages and opens listeners on the loopback of a booted system, in its network namespace.

A socket stays in the namespace of its creation, so one thread that has entered the namespace suffices.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from support.monitoring import prometheus_server

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Loopback:
    """A network namespace: `path` is its file."""

    path: Path
    thread: ThreadPoolExecutor

    def make(self, what: Callable[[], Made]) -> Made:
        """Call a function in the namespace."""
        return self.thread.submit(what).result()

    def fetch(self, url: str, form: Mapping[str, str] | None = None) -> bytes:
        """Get a page in the namespace, as `prometheus_server.fetch` does."""
        return self.make(lambda: prometheus_server.fetch(url, form))

    @property
    def under(self) -> tuple[str, ...]:
        """Return the prefix of a command line for a process in the namespace."""
        return ("nsenter", f"--net={self.path}", "--")


@contextmanager
def loopback(path: Path) -> Iterator[Loopback]:
    """Yield the network namespace of a file /proc/PID/ns/net."""
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(path,)) as thread:
        yield Loopback(path, thread)


def _enter(path: Path) -> None:
    """Move this thread into a network namespace. Source: setns(2); Python has the call from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, 0):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)
