# SPDX-License-Identifier: Apache-2.0
"""Watches the files of the web configuration; after a change a loader reads the files.

The supervisor's loop waits for the watcher's descriptor and clock. The supervisor parses no YAML and no certificate,
and hands on sealed memory with the settings, among them the private key, without a look inside.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from probed.errors import ConfigurationError, HostError
from probed.ipc.exporter_messages import WebStatus
from probed.ipc.loader_messages import ReadWebConfig, Refused
from probed.ipc.loader_process import Event, LoaderProcess, WebRead, wait
from probed.webconfig.settings import WebSummary, state

LOG = logging.getLogger("supervisor")

PERIOD = 2.0
"""Seconds between looks at the files. A change is read when two looks in a row found the same: a tool that renews
certificate and key seldom writes both at one moment."""


class WebConfigWatcher:
    """One web configuration file: the last settings without a fault, and the fault of the last reading."""

    def __init__(self, path: str, tell: Callable[[int], None]) -> None:
        """Read the file for the first time; `tell` gets the descriptor of settings that later readings bring.

        Raises ConfigurationError and HostError.
        """
        self._path, self._tell = path, tell
        self.fault, self._success_time = "", 0.0
        self.summary = WebSummary(False, 0, {path: ""})
        self.fd = -1
        loader = self._start()
        self._loader: LoaderProcess | None = loader
        while not self._take(wait(loader)):
            pass
        if self.fault:
            raise ConfigurationError(self.fault)
        self._seen = self._tried = self.summary.files
        self._look_at = time.monotonic() + PERIOD

    def _start(self) -> LoaderProcess:
        loader = LoaderProcess()
        loader.read(ReadWebConfig(self._path))
        return loader

    def status(self) -> WebStatus:
        """Return the state that the exporter shows."""
        return WebStatus(not self.fault, self._success_time)

    @property
    def reading(self) -> bool:
        """Whether a loader is reading the files."""
        return self._loader is not None

    def fileno(self) -> int:
        """Return the descriptor that turns readable when the loader answers."""
        assert self._loader is not None
        return self._loader.fileno()

    def due(self) -> float:
        """Return when `on_clock` has something to do."""
        return self._loader.deadline if self._loader else self._look_at

    def on_clock(self, now: float) -> bool:
        """Look at the files, and begin to read them when they have changed; return whether the status has changed."""
        if self.due() > now:
            return False
        if self._loader:
            return self.on_answer()
        self._look_at = now + PERIOD
        states = {path: _state(path) for path in self.summary.files}
        steady, self._seen = states == self._seen, states
        return steady and states != self._tried and not self.read()

    def read(self) -> bool:
        """Begin to read, unless a loader is reading; return False where no loader starts, which is tried again."""
        if self._loader is not None:
            return True
        try:
            self._loader = self._start()
        except HostError as error:
            self._tried, before = {}, self.fault
            self.fault = f"{self._path}: {error}"
            if self.fault != before:
                LOG.error("web configuration cannot be read, the previous one stays in force:\n%s", self.fault)
            return False
        self._tried = {path: _state(path) for path in self.summary.files}
        return True

    def on_answer(self) -> bool:
        """Take an answer of the loader; return whether the status has changed."""
        assert self._loader is not None
        before = self.fd
        if not self._take(self._loader.step()):
            return False
        if self.fault:
            LOG.error("web configuration refused, the previous one stays in force:\n%s", self.fault)
        elif self.fd != before:
            LOG.info(
                "web configuration read: %s, %d users", "TLS" if self.summary.tls else "no TLS", self.summary.users
            )
            self._tell(self.fd)
        return True

    def _take(self, event: Event | None) -> bool:
        """Take over the settings or the fault; return whether the reading has ended."""
        match event:
            case None:
                return False
            case Refused(text):
                self.fault = text
            case WebRead(summary, fd):
                self.fault = self._take_settings(summary, fd)
            case other:
                raise ValueError(f"the loader gave {other} for a web configuration")
        self._loader = None
        return True

    def _take_settings(self, summary: WebSummary, fd: int) -> str:
        if self.fd >= 0 and summary.tls != self.summary.tls:
            os.close(fd)
            return f"{self._path}: TLS cannot be switched on or off while probed runs: restart it, or put it back"
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.summary = fd, summary
        self._tried = summary.files
        self._success_time = time.time()
        return ""

    def close(self) -> None:
        """End a loader that is reading."""
        if self._loader:
            self._loader.abort()
            self._loader = None


def _state(path: str) -> str:
    try:
        return state(os.stat(path))
    except OSError as error:
        return f"errno {error.errno}"
