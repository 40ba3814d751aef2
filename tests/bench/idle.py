# SPDX-License-Identifier: Apache-2.0
"""CPU time and wake-ups of an idle daemon, with and without scrapes.

No machine is quite idle, so there is also a daemon with probes that see no event, and two Pythons as a floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Final

from bench import least
from bench.figures import Figure, one
from bench.setup import Setup, cpu_seconds, processes, wake_ups
from support.running_daemon import SHIPPED, Daemon

SECONDS: Final = 60.0
SCRAPE_EVERY: Final = 15.0
EVENTLESS: Final = {"cgroups": None, "syscalls": None}
"""Probes with empty rings as long as the host makes no control group."""


def measure(setup: Setup) -> list[Figure]:
    """Return CPU time and wake-ups of the whole daemon."""
    figures: list[Figure] = []
    with setup.daemon() as daemon:
        before = _settled(daemon)
        figures += watch("idle, no scrape", processes(daemon).values(), setup.seconds(SECONDS))
        figures.append(one("  events of others meanwhile", "", _emitted(daemon) - before))
    with setup.daemon() as daemon:
        _settled(daemon)
        what = f"idle, a scrape every {SCRAPE_EVERY:g} s"
        figures += watch(what, processes(daemon).values(), setup.seconds(SECONDS / 2), lambda: daemon.get("/metrics"))
    with setup.daemon(EVENTLESS) as daemon:
        _settled(daemon)
        figures += watch("idle, no scrape, no events", processes(daemon).values(), setup.seconds(SECONDS))
    with least.processes() as two:
        figures += watch("idle, two Pythons that only wake up", two.pids, setup.seconds(SECONDS))
    return figures


def _settled(daemon: Daemon) -> float:
    """Wait until the daemon has finished its start; return the number of events."""
    daemon.wait_until_ready()
    return _emitted(daemon)


def _emitted(daemon: Daemon) -> float:
    page = daemon.scrape()
    return sum(map(page.emitted, SHIPPED))


def watch(
    what: str, pids: Collection[int], seconds: float, scrape: Callable[[], object] | None = None
) -> Iterator[Figure]:
    """Yield CPU time and wake-ups of some processes over so many seconds, perhaps with scrapes."""
    spent, woken, start = sum(map(cpu_seconds, pids)), sum(map(wake_ups, pids)), time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        time.sleep(min(left, SCRAPE_EVERY))
        if scrape:
            scrape()
    took = time.monotonic() - start
    yield one(what, "% of a core", 100 * (sum(map(cpu_seconds, pids)) - spent) / took)
    yield one(f"{what}, wake-ups", "1/s", (sum(map(wake_ups, pids)) - woken) / took)
