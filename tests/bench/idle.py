# SPDX-License-Identifier: Apache-2.0
"""A daemon with nothing to do: CPU time and wake-ups of its processes, with a scrape now and then and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from bench.figures import Figure, one
from bench.setup import Setup, cpu_seconds, processes, wake_ups
from daemon import Daemon

SECONDS: Final = 60.0
SCRAPE_EVERY: Final = 15.0


def measure(setup: Setup) -> list[Figure]:
    """Return both, for the daemon as a whole."""
    figures: list[Figure] = []
    for scraped in (False, True):
        with setup.daemon() as daemon:
            daemon.wait_until_ready()
            daemon.scrape()
            figures += _watch(daemon, setup.seconds(SECONDS if not scraped else SECONDS / 2), scraped)
    return figures


def _watch(daemon: Daemon, seconds: float, scraped: bool) -> Iterator[Figure]:
    pids = processes(daemon).values()
    spent, woken, start = sum(map(cpu_seconds, pids)), sum(map(wake_ups, pids)), time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        time.sleep(min(left, SCRAPE_EVERY))
        if scraped:
            daemon.get("/metrics")
    took = time.monotonic() - start
    what = f"idle, a scrape every {SCRAPE_EVERY:g} s" if scraped else "idle, no scrape"
    yield one(what, "% of a core", 100 * (sum(map(cpu_seconds, pids)) - spent) / took)
    yield one(f"{what}, wake-ups", "1/s", (sum(map(wake_ups, pids)) - woken) / took)
