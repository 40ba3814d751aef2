# SPDX-License-Identifier: Apache-2.0
"""Most events a second without loss, from one producer and from two, with the default ring.

Also the CPU time for an event, beside BCC's callback into prometheus_client's counters (`plain`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Final

from bench import plain
from bench.figures import Figure, one
from bench.setup import STORM, Setup, cpu_seconds
from support.running_daemon import Daemon, rise

STORMS: Final = (
    4_000_000,
    3_000_000,
    2_500_000,
    2_000_000,
    1_750_000,
    1_500_000,
    1_250_000,
    1_000_000,
    500_000,
    250_000,
)
"""Events a second of all producers together, highest first."""

TRIAL: Final = 2.0
SECONDS: Final = 10.0
LABEL_SETS: Final = 100
PLAIN_STORM: Final = 250_000


def measure(setup: Setup) -> list[Figure]:
    """Return the largest rates without loss, and the CPU time for an event."""
    figures: list[Figure] = []
    with setup.daemon(STORM) as daemon:
        daemon.wait_until_ready()
        for producers in (1, 2):
            figures.append(_held(setup, daemon, producers))
        figures += _a_million_and_a_half(setup, daemon)
        figures.append(_cost(setup, daemon))
    return [*figures, *_plainly(setup)]


def _held(setup: Setup, daemon: Daemon, producers: int) -> Figure:
    """Find the highest rate without loss, first in a short run, then in a long one."""
    for rate in STORMS:
        if _lost(setup, daemon, producers, rate, setup.seconds(TRIAL))[0]:
            continue
        lost, reached = _lost(setup, daemon, producers, rate, setup.seconds(SECONDS))
        if not lost:
            return one(f"without loss, producers: {producers}", "events/s", reached)
    return one(f"without loss, producers: {producers}", "events/s", 0.0)


def _a_million_and_a_half(setup: Setup, daemon: Daemon) -> Iterator[Figure]:
    lost, reached = _lost(setup, daemon, 1, 1_500_000, setup.seconds(SECONDS))
    yield one("one producer told to make 1,500,000 a second", "events/s", reached)
    yield one("lost of them", "events", lost)


def _lost(setup: Setup, daemon: Daemon, producers: int, rate: int, seconds: float) -> tuple[float, float]:
    """Run a storm; return the number of missing events and the events a second."""
    n, before = int(rate * seconds) // producers, daemon.scrape()
    reached = blow(setup, producers, n, rate // producers)
    after = daemon.scrape()
    seen = rise(before, after, "probed_storm_events_total")
    lost = after.lost("storm") - before.lost("storm")
    assert seen + lost == n * producers, f"{n * producers} events were made, {seen} seen and {lost} lost"
    return lost, reached


def blow(setup: Setup, producers: int, n: int, rate: int) -> float:
    """Have `producers` make `n` events each, `rate` a second; return the events a second of all."""
    storms = [setup.start("storm", n, rate, LABEL_SETS) for _ in range(producers)]
    return sum(n / (_nanoseconds(storm) / 1e9) for storm in storms)


def _nanoseconds(storm: subprocess.Popen[bytes]) -> float:
    said, _ = storm.communicate()
    if storm.returncode:
        raise ChildProcessError(f"storm exited with status {storm.returncode}")
    return float(said)


def _cost(setup: Setup, daemon: Daemon) -> Figure:
    n, spent = int(1_000_000 * setup.seconds(3.0)), cpu_seconds(daemon.exporter)
    blow(setup, 1, n, 1_000_000)
    daemon.scrape()
    return one("exporter, at 1,000,000 a second", "ns an event", (cpu_seconds(daemon.exporter) - spent) * 1e9 / n)


def _plainly(setup: Setup) -> Iterator[Figure]:
    """Measure BCC and prometheus_client alone."""
    for rate in (PLAIN_STORM, 1_000_000):
        n = int(rate * setup.seconds(3.0))
        with plain.running() as counting:
            spent = cpu_seconds(counting.pid)
            blow(setup, 1, n, rate)
            taken = counting.stop()
            spent = taken.cpu_seconds - spent
        yield one(f"plain BCC callback, at {rate:,} a second", "ns an event", spent * 1e9 / max(1, taken.events))
        yield one("lost of them by it", "%", 100 * (n - taken.events) / n)
