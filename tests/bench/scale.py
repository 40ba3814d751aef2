# SPDX-License-Identifier: Apache-2.0
"""Map memory, wake-ups and time of a scrape with 2, 64, 256 and 1,024 possible CPUs.

Loader and exporter are told the number. The kernel's per-CPU maps keep the true one, so their memory is computed from
the sizes of their values, and the counts of these maps on the page are wrong. The time of a scrape lacks the kernel's
copying of values that do not exist: a nanosecond or two for each.
"""

from __future__ import annotations

import time
from typing import Final

from bench.figures import Figure, middle, one
from bench.memory import MB
from bench.setup import Setup
from support.possible_cpus import map_memory, under

CPUS: Final = (2, 64, 256, 1024)
SPAWNS: Final = 5_003
ROUNDS: Final = 15


def measure(setup: Setup) -> list[Figure]:
    """Return the figures for each number of possible CPUs."""
    return [figure for cpus in (CPUS[::3] if setup.short else CPUS) for figure in _measure(setup, cpus)]


def _measure(setup: Setup, cpus: int) -> list[Figure]:
    with setup.daemon(under=under(setup.folder, cpus)) as daemon:
        daemon.wait_until_ready()
        before = daemon.scrape()
        setup.run("spawn", SPAWNS // (10 if setup.short else 1), setup.folder / "exits")
        after = daemon.scrape()
        drains = after.value("probed_drains_total") - before.value("probed_drains_total") - 1  # without the scrape's
        times = []
        for _ in range(setup.rounds(ROUNDS)):
            start = time.perf_counter()
            daemon.get("/metrics")
            times.append((time.perf_counter() - start) * 1e3)
        about = f"{cpus:,} possible CPUs"
        return [
            one(f"{about}, map memory", "MB", map_memory(after, daemon, cpus) / MB),
            one(f"{about}, wake-ups by {SPAWNS:,} spawns", "", drains),
            middle(f"{about}, scrape", "ms", times),
        ]
