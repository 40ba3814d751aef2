# SPDX-License-Identifier: Apache-2.0
"""Notifies systemd: READY, RELOADING, STOPPING, WATCHDOG, and the line of `systemctl status`. Source: sd_notify(3).

Without NOTIFY_SOCKET, which systemd sets, nothing is sent.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from probed.ipc.exporter_messages import ProbeStatus, Pulse
from probed.linux.time_namespace import clock_offset
from probed.log_limiter import REPEATABLE
from probed.supervisor.systemd.fdstore import Send

LOG = logging.getLogger("supervisor")

WATCHDOG = 180.0
"""Seconds where systemd sets no WATCHDOG_USEC. An exporter without a sign of life for a third of them is stuck."""


def sender() -> Send | None:
    """Return the function that sends to systemd, None without systemd or python3-systemd."""
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    try:
        from systemd import daemon
    except ImportError:
        LOG.warning("NOTIFY_SOCKET is set, but python3-systemd is missing, so systemd gets no notification: install it")
        return None
    return _Sender(daemon.notify)


class _Sender:
    """Sends to systemd; a failure costs one notification and a log line."""

    def __init__(self, notify: Send) -> None:
        self._notify = notify

    def __call__(self, status: str, *, fds: Sequence[int] = ()) -> None:
        try:
            self._notify(status.encode(errors="backslashreplace").decode(), fds=fds)
        except OSError as error:
            socket, fault = os.environ.get("NOTIFY_SOCKET"), error.strerror or error
            LOG.warning("systemd gets no notification at NOTIFY_SOCKET=%s: %s", socket, fault, extra=REPEATABLE)


def watchdog_seconds() -> float:
    """Return the time in seconds that systemd waits for a sign of life."""
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 or WATCHDOG


class Notifier:
    """Sends notifications to systemd, if there is one."""

    def __init__(self, send: Send | None) -> None:
        self._to = send
        self._ready = False
        self._said = ""

    def _send(self, text: str) -> None:
        if self._to is not None:
            self._to(text)

    def status(self, text: str) -> None:
        """Send the line of `systemctl status` if changed: systemd wakes every watcher of the unit for a line."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={text}")

    def heartbeat(self, text: str, *, settled: bool) -> None:
        """Send WATCHDOG=1 and the status line; the first call with `settled` also sends READY=1."""
        self._send("WATCHDOG=1")
        if settled and not self._ready:
            self._ready = True
            self._said = text
            self._send(f"READY=1\nSTATUS={text}")
        elif self._ready:
            self.status(text)

    def reloading(self) -> None:
        """Send RELOADING=1; the next heartbeat with `settled` ends the reload with READY=1.

        systemd ignores a time before its own request, so the time is the host's.
        """
        self._ready = False
        now = (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - clock_offset("monotonic")) // 1000
        self._said = "reloading"
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading")

    def stopping(self) -> None:
        """Send STOPPING=1."""
        self._send("STOPPING=1\nSTATUS=taking the last events out of the rings")


def status_line(probes: Sequence[ProbeStatus], pulse: Pulse) -> str:
    """Return the status line, such as ``3 probes up, 14 series, 0 lost``."""
    left_out = f", {pulse.left_out} left out by the exporter" if pulse.left_out else ""
    return f"{_states(probes)}{left_out}, {pulse.series} series, {pulse.lost} lost"


def _states(probes: Sequence[ProbeStatus]) -> str:
    up = sum(probe.up for probe in probes)
    if up == len(probes):
        return f"{up} {'probe' if up == 1 else 'probes'} up" if up else "no probe is wanted"
    down = ", ".join(f"{probe.name}: {probe.reason or 'loading'}" for probe in probes if not probe.up)
    return f"{up} of {len(probes)} probes up ({down})"
