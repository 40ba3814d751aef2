# SPDX-License-Identifier: Apache-2.0
"""A daemon with nothing to do: CPU time and wake-ups of its processes, with a scrape now and then and without.

A machine always does something; so there is also a daemon of probes that see none of it, and a floor under that.
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
"""Probes whose rings stay empty where nobody makes a control group."""


def measure(setup: Setup) -> list[Figure]:
    """Return both, for the daemon as a whole."""
    figures: list[Figure] = []
    with setup.daemon() as daemon:
        before = _settled(daemon)
        figures += _watch("idle, no scrape", processes(daemon).values(), setup.seconds(SECONDS))
        figures.append(one("  events of others meanwhile", "", _emitted(daemon) - before))
    with setup.daemon() as daemon:
        _settled(daemon)
        what = f"idle, a scrape every {SCRAPE_EVERY:g} s"
        figures += _watch(what, processes(daemon).values(), setup.seconds(SECONDS / 2), lambda: daemon.get("/metrics"))
    with setup.daemon(EVENTLESS) as daemon:
        _settled(daemon)
        figures += _watch("idle, no scrape, no events", processes(daemon).values(), setup.seconds(SECONDS))
    with least.processes() as pids:
        figures += _watch("idle, two Pythons that only wake up", pids.values(), setup.seconds(SECONDS))
    return figures


def _settled(daemon: Daemon) -> float:
    """Wait until it has nothing more to do for its start; return how many events there were."""
    daemon.wait_until_ready()
    return _emitted(daemon)


def _emitted(daemon: Daemon) -> float:
    page = daemon.scrape()
    return sum(map(page.emitted, SHIPPED))


def _watch(
    what: str, pids: Collection[int], seconds: float, scrape: Callable[[], object] | None = None
) -> Iterator[Figure]:
    spent, woken, start = sum(map(cpu_seconds, pids)), sum(map(wake_ups, pids)), time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        time.sleep(min(left, SCRAPE_EVERY))
        if scrape:
            scrape()
    took = time.monotonic() - start
    yield one(what, "% of a core", 100 * (sum(map(cpu_seconds, pids)) - spent) / took)
    yield one(f"{what}, wake-ups", "1/s", (sum(map(wake_ups, pids)) - woken) / took)
