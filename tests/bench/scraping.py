# SPDX-License-Identifier: Apache-2.0
"""Time, CPU time and bytes of a scrape by number of series, format and encoding."""

from __future__ import annotations

import time
from itertools import product
from typing import Final

from bench.figures import Figure, middle, one
from bench.setup import STORM, Setup, cpu_seconds
from support.running_daemon import Daemon

SERIES: Final = (250, 2_500, 25_000)
FORMATS: Final = {
    "text": "text/plain;version=0.0.4",
    "OpenMetrics": "application/openmetrics-text;version=1.0.0",
    "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
}
ENCODINGS: Final = ("identity", "gzip")
ROUNDS: Final = 15


def measure(setup: Setup) -> list[Figure]:
    """Return time, CPU time and bytes of a scrape for each number of series, format and encoding."""
    figures: list[Figure] = []
    for series in SERIES[: 2 if setup.short else None]:
        with setup.daemon(STORM, series={"budget": 2 * series}) as daemon:
            daemon.wait_until_ready()
            setup.run("storm", 2 * series, 1_000_000, series)
            lines = len(daemon.scrape())
            for name, encoding in product(FORMATS, ENCODINGS):
                figures += _scrape(setup, daemon, lines, name, encoding)
    return figures


def _scrape(setup: Setup, daemon: Daemon, lines: int, name: str, encoding: str) -> list[Figure]:
    headers = {"Accept": FORMATS[name], "Accept-Encoding": encoding}
    times, spent, body = [], [], b""
    for _ in range(setup.rounds(ROUNDS)):
        before, start = cpu_seconds(daemon.exporter), time.perf_counter()
        status, body = daemon.get("/metrics", **headers)
        times.append((time.perf_counter() - start) * 1e3)
        spent.append((cpu_seconds(daemon.exporter) - before) * 1e3)
        assert status == 200, body
    about = f"scrape of {lines:,} series, {name}, {encoding}"
    return [middle(about, "ms", times), middle(f"{about}, CPU", "ms", spent), one(f"{about}, size", "bytes", len(body))]
