# SPDX-License-Identifier: Apache-2.0
"""Starts the loader and the exporter, each with a channel to the supervisor.

The owner of a child decides on start and end: `loader_process`, `supervisor.exporter_process`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Generic

from probed.ipc.channel import Channel, Received, Sent

SYSTEMD_S = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""Variables of systemd for the supervisor alone."""


def _inherited() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name not in SYSTEMD_S}


class Child(Generic[Sent, Received]):
    """A child process, the channel to the child, and a pidfd that turns readable at the child's end."""

    def __init__(
        self,
        module: str,
        receives: Sequence[type[Received]],
        environment: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> None:
        """Start ``python -m module FD`` with additional variables, without packages of a home folder. Raises OSError.

        `receives` are the dataclasses that the child may send; `stderr` replaces this process's standard error.
        """
        with ExitStack() as undo:
            self.channel, theirs = Channel[Sent, Received].pair(receives)
            undo.callback(self.channel.close)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-s", "-m", module, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stderr=stderr,
                    env={**_inherited(), **(environment or {})},
                )
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            self.pidfd = os.pidfd_open(self._process.pid)
            undo.pop_all()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def reap(self, timeout: float) -> str:
        """Close the channel and wait, with SIGKILL after `timeout` seconds; return how the child ended.

        The text is empty after exit status 0.
        """
        self.channel.close()
        forced = False
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            forced = True
            self._process.kill()
            code = self._process.wait()
        os.close(self.pidfd)
        if forced:
            return f"had to be killed after {timeout:g} s"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with status {code}" if code else ""
