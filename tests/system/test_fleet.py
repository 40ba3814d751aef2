# SPDX-License-Identifier: Apache-2.0
"""A short simulation of a fleet: ten hosts with recorded pages, one real Prometheus, a few scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import recorded, simulation
from fleet.__main__ import NATIVE_ARGUMENTS, RULES, queries
from fleet.formats import families, native_only, series
from fleet.pages import KINDS, Recording
from fleet.report import between
from fleet.simulation import Plan
from fleet.targets import MIX, NATIVE, Targets
from support.monitoring.prometheus_server import Prometheus, need, prometheus
from support.running_daemon import until

OF_PROMETHEUS = 5
"""Series that Prometheus adds for each target, such as up."""

PLAN = Plan(interval=1, seconds=7, rules=(), queries=queries(1))


@pytest.fixture(scope="module")
def fleet() -> Iterator[Targets]:
    need("prometheus")
    with Targets(MIX, 15) as targets:
        yield targets


def scraped(host: int) -> int:
    """Return the number of series of a host's page in Prometheus."""
    return len(Recording.load(MIX[host % len(MIX)]).samples) + OF_PROMETHEUS


def series_of(server: Prometheus, host: int) -> float:
    """Return the number of a host's series in Prometheus."""
    return server.value(f'count({{instance="host-{host:05}"}})')


def test_every_host_is_scraped_whole_and_its_counters_rise(fleet: Targets, tmp_path: Path) -> None:
    with prometheus(tmp_path, simulation.configuration(10, fleet.port, PLAN)) as server:
        until(lambda: series_of(server, 0) == scraped(0), "the busy host is there whole")
        until(lambda: series_of(server, 1) == scraped(1), "an idle host is there whole")
        rising = "count(resets(probed_opens_total[1m]) == 0 and increase(probed_opens_total[1m]) > 0)"
        until(lambda: server.value(rising) == 10, "counters of all hosts rise")


def test_a_step_measures_every_figure(fleet: Targets) -> None:
    measured = simulation.run(10, fleet, PLAN)
    assert (measured.hosts, measured.targets_down) == (10, 0)
    assert measured.series == sum(map(scraped, range(10)))
    assert measured.query_seconds.keys() == {query.name for query in PLAN.queries}
    assert min(measured.resident_bytes, measured.disk_bytes, measured.samples_per_second) > 0


def test_a_native_step_measures_every_figure_with_less_series() -> None:
    need("prometheus")
    # To make a page of native histograms takes longer than a second where other tests run.
    plan = Plan(interval=5, seconds=17, rules=(), queries=queries(5, native=True), arguments=NATIVE_ARGUMENTS)
    with Targets(MIX, 15, NATIVE) as native:
        measured = simulation.run(10, native, plan)
    pages = [native_only(families(Recording.load(kind).at(0).decode())) for kind in MIX]
    assert measured.series == sum(series(page, "protobuf") + OF_PROMETHEUS for page in pages)
    assert measured.query_seconds.keys() == {query.name for query in plan.queries}


def test_the_shipped_rules_record_less_than_is_scraped(tmp_path: Path) -> None:
    need("prometheus")
    rules = [tmp_path / file.name for file in RULES.glob("*.yml")]
    for file in rules:
        file.write_text((RULES / file.name).read_text().replace("interval: 30s", "interval: 1s"))
    made = recorded.run(len(KINDS), KINDS, Plan(interval=1, seconds=20, rules=tuple(rules), queries=()))
    for kind in KINDS:
        assert 0 < made.of_units[kind] < made.recorded[kind] < made.scraped[kind]
    assert made.queries.keys() == {pair.name for pair in recorded.PAIRS}


def test_a_table_goes_between_its_marks() -> None:
    text = "before\n<!-- x -->\nold\n<!-- end of x -->\nafter\n"
    assert between(text, "x", "new") == "before\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nafter\n"
