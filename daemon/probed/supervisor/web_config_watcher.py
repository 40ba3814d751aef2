# SPDX-License-Identifier: Apache-2.0
"""The web configuration as the supervisor sees it: memory that it hands on, and files that it watches.

`daemon` waits for its descriptor and its clock. A loader of its own reads, at the start and when a file has changed, so
that neither YAML nor TLS is ever parsed here; the private key stands in sealed memory that nobody here looks into.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress

from probed.errors import ConfigurationError
from probed.ipc.channel import Closed, Packet, Starved
from probed.ipc.child_process import Child, why_not
from probed.ipc.exporter_messages import WebStatus
from probed.ipc.loader_messages import FROM_LOADER, FromLoader, ReadWebConfig, Refused, ToLoader, WebConfigRead
from probed.webconfig.settings import WebSummary, state

LOG = logging.getLogger("supervisor")

PERIOD = 2.0
"""Seconds between looks at the files; a change is taken when two looks in a row show the same: certificate and key are
seldom written at one moment."""

READ_SECONDS = 30.0
REAP_SECONDS = 5.0


class Web:
    """One web configuration file, what it last said rightly, and how the last reading ended."""

    def __init__(self, path: str, tell: Callable[[int], None]) -> None:
        """Read it for the first time; `tell` will be called with what later readings bring.

        Raises ConfigurationError.
        """
        self._path, self._tell = path, tell
        self._child: Child[ToLoader, FromLoader] | None = None
        self.wrong, self._success_time = "", 0.0
        self.summary = WebSummary(False, 0, {path: ""})
        self.fd = -1
        self._deadline = 0.0
        wrong = self._read_now()
        if wrong:
            raise ConfigurationError(wrong)
        self._seen = self._tried = self.summary.files
        self._look_at = time.monotonic() + PERIOD

    def _read_now(self) -> str:
        self._start()
        while True:
            select.select([self], [], [], max(0.0, self._deadline - time.monotonic()))
            wrong = self._step()
            if wrong is not None:
                return wrong

    def status(self) -> WebStatus:
        """Return what the exporter shows."""
        return WebStatus(not self.wrong, self._success_time)

    @property
    def reading(self) -> bool:
        """Whether a loader reads just now."""
        return self._child is not None

    def fileno(self) -> int:
        """Return the descriptor that turns readable when a reading goes on."""
        assert self._child is not None
        return self._child.channel.fileno()

    def due(self) -> float:
        """Return when `on_clock` has something to do."""
        return self._deadline if self._child else self._look_at

    def on_clock(self, now: float) -> bool:
        """Look at the files, and begin to read when they have changed; return whether the status has changed."""
        if self.due() > now:
            return False
        if self._child:
            return self.heard()
        self._look_at = now + PERIOD
        states = {path: _state(path) for path in self.summary.files}
        steady, self._seen = states == self._seen, states
        return steady and states != self._tried and not self.read()

    def read(self) -> bool:
        """Begin to read, unless that is going on; return whether that can be. Where it cannot, it is tried again."""
        if self._child is not None:
            return True
        try:
            self._start()
        except OSError as error:
            self._tried, before = {}, self.wrong
            self.wrong = f"{self._path}: no loader can be started: {why_not(error)}"
            if self.wrong != before:
                LOG.error("web configuration cannot be read, everything is served as before:\n%s", self.wrong)
            return False
        self._tried = {path: _state(path) for path in self.summary.files}
        return True

    def _start(self) -> None:
        self._child = Child("probed.loader", FROM_LOADER)
        self._deadline = time.monotonic() + READ_SECONDS
        with suppress(Closed):  # it died: `_step` will say so
            self._child.channel.send(ReadWebConfig(self._path))

    def heard(self) -> bool:
        """Take what the reading brought; return whether the status has changed."""
        before, wrong = self.fd, self._step()
        self.wrong = self.wrong if wrong is None else wrong
        if wrong:
            LOG.error("web configuration refused, everything is served as before:\n%s", wrong)
        elif self.fd != before:
            LOG.info(
                "web configuration read: %s, %d users", "TLS" if self.summary.tls else "no TLS", self.summary.users
            )
            self._tell(self.fd)
        return wrong is not None

    def _step(self) -> str | None:
        """Take one answer; return what is wrong, "" when nothing is, None when there was none yet."""
        assert self._child is not None
        if time.monotonic() >= self._deadline:
            self._child.kill()
            return self._finish(f"{self._path}: reading took longer than {READ_SECONDS:g} s")
        try:
            packet = self._child.channel.receive()
        except (Closed, Starved):
            return self._finish(f"{self._path}: the loader ended while it read the web configuration")
        return self._finish(self._take(packet))

    def _take(self, packet: Packet[FromLoader]) -> str:
        match packet.message:
            case WebConfigRead(summary):
                (fd,) = packet.fds
            case Refused(text):
                return text
            case other:
                raise ValueError(f"the loader sent a message of kind '{type(other).__name__}'")
        if self.fd >= 0 and summary.tls != self.summary.tls:
            os.close(fd)
            return f"{self._path}: TLS cannot be switched on or off while probed runs: restart it, or put it back"
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.summary = fd, summary
        self._tried = summary.files
        self._success_time = time.time()
        return ""

    def _finish(self, wrong: str) -> str:
        assert self._child is not None
        self._child.reap(REAP_SECONDS)
        self._child = None
        return wrong

    def close(self) -> None:
        """Let go of everything."""
        if self._child:
            self._child.kill()
            self._finish("")


def _state(path: str) -> str:
    try:
        return state(os.stat(path))
    except OSError as error:
        return f"errno {error.errno}"
