# SPDX-License-Identifier: Apache-2.0
"""One step of the simulation: the cost of a fresh Prometheus after some minutes with a number of hosts.

Each figure is the median of several, since the machine may be busy. No test asserts a time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from fleet.targets import Targets
from support.monitoring.prometheus_server import Prometheus, prometheus
from support.running_daemon import PATIENCE, Page, until

REPEATS = 7
"""Repetitions of each query."""

LAST = 60.0
"""Seconds at the end over which memory is averaged: memory swings with the garbage collector."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a dashboard or a person, over a window given in scrapes."""

    name: str
    text: str
    over_time: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of every step: `interval` between scrapes and duration of a step in seconds; Prometheus's arguments."""

    interval: int
    seconds: float
    rules: tuple[Path, ...]
    queries: tuple[Query, ...]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """Memory, disk and times of one Prometheus with a number of hosts. Bytes and seconds."""

    hosts: int
    series: int
    samples_per_second: float
    resident_bytes: float
    heap_bytes: float
    disk_bytes: int
    cores: float
    targets_down: int
    query_seconds: dict[str, float]


def configuration(hosts: int, port: int, plan: Plan) -> dict[str, Any]:
    """Return a configuration of Prometheus that scrapes `hosts` hosts of the fleet at `port`."""
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"instance": f"host-{host:05}", "__metrics_path__": f"/host/{host}/metrics"},
        }
        for host in range(hosts)
    ]
    return {
        "global": {"scrape_interval": f"{plan.interval}s", "evaluation_interval": f"{plan.interval}s"},
        "rule_files": list(map(str, plan.rules)),
        "scrape_configs": [{"job_name": "probed", "static_configs": targets}],
    }


def run(hosts: int, fleet: Targets, plan: Plan) -> Measured:
    """Scrape a number of hosts for one step with a fresh Prometheus, and measure its cost."""
    with (
        tempfile.TemporaryDirectory(prefix="probed-fleet-") as folder,
        prometheus(Path(folder), configuration(hosts, fleet.port, plan), plan.arguments) as server,
    ):
        wait_until_up(server, hosts)
        begin = time.time()
        wait(max(0.0, plan.seconds - LAST))
        return _measure(hosts, server, plan, begin)


def wait_until_up(server: Prometheus, hosts: int) -> None:
    """Wait until every host was scraped: making the first pages may take longer than a scrape may."""
    until(lambda: server.value("count(up == 1)") == hosts, "all hosts are up", 4 * PATIENCE)


def wait(seconds: float) -> None:
    """Sleep for the duration of the step."""
    time.sleep(seconds)


def _measure(hosts: int, server: Prometheus, plan: Plan, begin: float) -> Measured:
    pages, seconds = [itself(server)], min(LAST, plan.seconds)
    for _ in range(REPEATS):
        wait(seconds / REPEATS)
        pages.append(itself(server))
    before, after = pages[0], pages[-1]

    def speed(name: str) -> float:
        return (after.total(name) - before.total(name)) / seconds

    return Measured(
        hosts=hosts,
        series=int(after.total("prometheus_tsdb_head_series")),
        samples_per_second=speed("prometheus_tsdb_head_samples_appended_total"),
        resident_bytes=median(page.total("process_resident_memory_bytes") for page in pages),
        heap_bytes=median(page.total("go_memstats_heap_inuse_bytes") for page in pages),
        disk_bytes=sum(file.stat().st_size for file in server.folder.rglob("*") if file.is_file()),
        cores=speed("process_cpu_seconds_total"),
        targets_down=int(server.value("count(up == 0)")),
        query_seconds={query.name: time_query(server, query, plan, begin) for query in plan.queries},
    )


def itself(server: Prometheus) -> Page:
    return Page.parse(server.fetch(f"{server.url}/metrics").decode())


def time_query(server: Prometheus, query: Query, plan: Plan, begin: float) -> float:
    """Return the median seconds of a query. Asserts a result."""

    def ask() -> object:
        if query.over_time:
            return server.query_range(query.text, begin, time.time(), plan.interval)
        return server.query(query.text)

    assert ask(), f"no result: {query.text}"
    return median(_seconds(ask) for _ in range(REPEATS))


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def slope(measured: Sequence[Measured], of: Callable[[Measured], float]) -> tuple[float, float]:
    """Return slope (cost of a host) and intercept of a straight line by least squares."""
    hosts = [each.hosts for each in measured]
    values = [of(each) for each in measured]
    middle_x, middle_y = sum(hosts) / len(hosts), sum(values) / len(values)
    spread = sum((x - middle_x) ** 2 for x in hosts)
    each = sum((x - middle_x) * (y - middle_y) for x, y in zip(hosts, values, strict=True)) / spread
    return each, middle_y - each * middle_x
