# SPDX-License-Identifier: Apache-2.0
"""Measures the recording rules of deploy/prometheus on a fleet: series, delay, and the time of queries.

The scrape interval and the rules are the shipped ones. A third of the hosts shows each recording.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.simulation import Plan, Query, configuration, itself, time_query, wait, wait_until_up
from fleet.targets import Targets
from support.monitoring.prometheus_server import Prometheus, prometheus


@dataclass(frozen=True, slots=True)
class Pair:
    """The same query on scraped and on recorded series."""

    name: str
    scraped: str
    recorded: str


PAIRS = (
    Pair("execs by unit, over the whole time",
         "sum by (unit) (rate(probed_process_execs_total[1m]))", "sum by (unit) (unit:probed_process_execs:rate1m)"),
    Pair("execs by parent, over the whole time",
         "sum by (parent) (rate(probed_process_execs_total[1m]))",
         "sum by (parent) (unit_parent:probed_process_execs:rate1m)"),
    Pair("short lives by comm, over the whole time",
         'sum by (comm) (rate(probed_process_lifetime_seconds_bucket{le=~"1|1.0"}[1m]))',
         "sum by (comm) (unit_comm:probed_process_short_lives:rate1m)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """Series of one host of each kind, and seconds."""

    scraped: dict[str, int]
    recorded: dict[str, int]
    of_units: dict[str, int]
    rules_seconds: float
    queries: dict[str, tuple[float, float]]


def run(hosts: int, mix: Sequence[str], plan: Plan) -> Cut:
    """Scrape a fleet for the time of the plan with its rules, and count the recorded series."""
    with (
        Targets(mix, plan.interval) as fleet,
        tempfile.TemporaryDirectory(prefix="probed-fleet-") as folder,
        prometheus(Path(folder), configuration(hosts, fleet.port, plan)) as server,
    ):
        wait_until_up(server, hosts)
        begin = time.time()
        wait(plan.seconds)
        assert server.value("count(up == 0)") == 0
        return _measure(server, mix, plan, begin)


def _measure(server: Prometheus, mix: Sequence[str], plan: Plan, begin: float) -> Cut:
    def count(selector: str) -> dict[str, int]:
        hosts = (f'instance="host-{number:05}"' for number in range(len(mix)))
        counts = (server.value(f"count({selector % host})") for host in hosts)
        return dict(zip(mix, map(int, counts), strict=True))

    def both(pair: Pair) -> tuple[float, float]:
        texts = (pair.scraped, pair.recorded)
        first, second = (time_query(server, Query(pair.name, text, True), plan, begin) for text in texts)
        return first, second

    return Cut(
        scraped=count('{__name__!~".*:.*|ALERTS.*", %s}'),
        recorded=count('{__name__=~".*:.*", %s}'),
        of_units=count('{__name__=~"unit:.*", %s}'),
        rules_seconds=itself(server).total("prometheus_rule_group_last_duration_seconds"),
        queries={pair.name: both(pair) for pair in PAIRS},
    )
