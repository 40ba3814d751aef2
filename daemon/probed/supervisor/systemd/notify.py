# SPDX-License-Identifier: Apache-2.0
"""What systemd is told: ready, reloading, stopping, alive, and a line for `systemctl status`. Source: sd_notify(3).

`daemon` says what happened. Without NOTIFY_SOCKET, which systemd sets, nothing is said to anybody.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from probed.ipc.exporter_messages import ProbeStatus, Pulse
from probed.supervisor.systemd.fdstore import Send

LOG = logging.getLogger("supervisor")

WATCHDOG = 180.0
"""Seconds, where systemd has not set WATCHDOG_USEC: who does not move for a third of them is stuck here too."""


def sender() -> Send | None:
    """Return what sends to systemd; None where there is none, or no systemd-python."""
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    try:
        from systemd import daemon
    except ImportError:
        LOG.warning("NOTIFY_SOCKET is set, but systemd cannot be told anything: install python3-systemd")
        return None
    notify: Send = daemon.notify
    return notify


def watchdog_seconds() -> float:
    """Return how long systemd waits for a sign of life."""
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 or WATCHDOG


class Notices:
    """Tells one systemd, or nobody."""

    def __init__(self, send: Send | None) -> None:
        self._to = send
        self._ready = False
        self._said = ""

    def _send(self, text: str) -> None:
        if self._to is not None:
            self._to(text)

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; systemd tells everybody who watches, so not without news."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={text}")

    def all_moves(self, text: str, *, settled: bool) -> None:
        """Say that nothing is stuck, and what it does; the first time that it is settled, that it is ready."""
        self._send("WATCHDOG=1")
        if settled and not self._ready:
            self._ready = True
            self._said = text
            self._send(f"READY=1\nSTATUS={text}")
        elif self._ready:
            self.status(text)

    def reloading(self) -> None:
        """Say that a reload has begun; it ends when it is settled again."""
        self._ready = False
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._said = "reloading"
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading")

    def stopping(self) -> None:
        """Say that it ends."""
        self._send("STOPPING=1\nSTATUS=taking the last events out of the rings")


def status_line(probes: Sequence[ProbeStatus], pulse: Pulse) -> str:
    """Return what an operator wants to know at first sight: ``3 probes up, 14 series, 0 lost``."""
    return f"{_states(probes)}, {pulse.series} series, {pulse.lost} lost"


def _states(probes: Sequence[ProbeStatus]) -> str:
    up = sum(probe.up for probe in probes)
    if up == len(probes):
        return f"{up} {'probe' if up == 1 else 'probes'} up" if up else "no probe is wanted"
    down = ", ".join(f"{probe.name}: {probe.reason or 'loading'}" for probe in probes if not probe.up)
    return f"{up} of {len(probes)} probes up ({down})"
