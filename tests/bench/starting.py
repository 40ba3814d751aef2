# SPDX-License-Identifier: Apache-2.0
"""From the start of the command to the first good scrape, with a warm page cache and a cold one; whose time it is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from bench.figures import Figure, middle
from bench.setup import Setup, cpu_seconds, ended_children_seconds
from daemon import SHIPPED

WARM: Final = 7
COLD: Final = 2
PAGE_CACHE: Final = "1"
"""What drop_caches takes for it. Source: Linux Documentation/admin-guide/sysctl/vm.rst."""


def measure(setup: Setup) -> list[Figure]:
    """Return the times until every probe is on the page, and the CPU time of each process until then."""
    warm = [_start(setup) for _ in range(setup.rounds(WARM))]
    figures = [middle(f"start, {name}", "ms", [each[name] * 1e3 for each in warm]) for name in warm[0]]
    if setup.short:
        return figures
    cold = []
    for _ in range(COLD):
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text(PAGE_CACHE)
        cold.append(_start(setup)["first good scrape"] * 1e3)
    return [*figures, middle("start, first good scrape, cold page cache", "ms", cold)]


def _start(setup: Setup) -> dict[str, float]:
    begin = time.monotonic()
    with setup.daemon() as daemon:
        daemon.wait_until_ready()
        page = daemon.scrape()
        took = time.monotonic() - begin
        assert page.total("probed_probe_up") == len(SHIPPED), "a probe is not up"
        return {
            "first good scrape": took,
            "CPU of the supervisor": cpu_seconds(daemon.supervisor),
            "CPU of the loader": ended_children_seconds(daemon.supervisor),
            "CPU of the exporter": cpu_seconds(daemon.exporter),
        }
