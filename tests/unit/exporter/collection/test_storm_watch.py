# SPDX-License-Identifier: Apache-2.0
"""A watch counts events by unit between two drains, by weight, and finds the units above a rule's rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from probed.exporter.cgroup.attribution import attribute
from probed.exporter.collection.storm_watch import MOST_WANTED, REST_SECONDS, SECONDS, StormWatch, Tally
from probed.exporter.series.weights import Weights
from probed.ipc.evidence_messages import WantEvidence
from probed.ipc.manifest import LoadedProbe, ResolvedLabel, ResolvedMetric
from support.unit.clock import Clock

FORK, EXEC = 0, 3
EVENT = np.dtype([("cgroup", "<u8"), ("kind", "u1")])

PATHS = {
    71: "/system.slice/media.service",
    73: "/system.slice/media.service/child",
    79: "/system.slice/quiet.service",
    **{1000 + n: f"/system.slice/loud-{n}.service" for n in range(MOST_WANTED + 2)},
}


def metric(name: str, when: Mapping[str, int], decoder: str = "cgroup_unit") -> ResolvedMetric:
    labels = (ResolvedLabel("unit", "cgroup", decoder, {}),)
    return ResolvedMetric(name, "counter", "", (), when, labels, None, 1.0, ())


def probe(*metrics: ResolvedMetric) -> LoadedProbe:
    return LoadedProbe("process", "", None, 0, (), metrics, ())


FORKS = probe(metric("probed_process_forks_total", {"kind": FORK}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> StormWatch:
    watch = StormWatch(lambda cgroup: attribute(PATHS[cgroup]), PATHS.get, clock)
    watch.rules = {"starts": 100.0, "failed_opens": 1000.0}
    return watch


def tally_of(watch: StormWatch, loaded: LoadedProbe = FORKS) -> Tally:
    tally = watch.tally(loaded)
    assert tally is not None
    return tally


def count(tally: Tally, cgroup: int, times: int, kind: int = FORK) -> None:
    """Count one record for so many events."""
    tally(np.array([(cgroup, kind)], EVENT), Weights(np.array([times])))


def test_a_unit_above_the_rate_is_wanted_with_its_busiest_cgroup(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    watch.begin()
    for cgroup, times in ((71, 20), (73, 31), (79, 50)):
        count(tally, cgroup, times)
    clock.now += SECONDS
    assert watch.due_in() == 0
    assert watch.end() == [WantEvidence("starts", 73, PATHS[73])]


def test_the_rate_is_that_of_the_time_watched(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    watch.begin()
    count(tally, 71, 100)
    clock.now += 1.0
    assert watch.end() == []


def test_events_outside_of_a_watch_count_for_none(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    count(tally, 71, 10_007)
    watch.begin()
    clock.now += SECONDS
    assert watch.end() == []
    count(tally, 71, 10_007)
    clock.now += REST_SECONDS
    watch.begin()
    clock.now += SECONDS
    assert watch.end() == []


def test_events_of_another_kind_count_for_none(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    watch.begin()
    count(tally, 71, 10_007, EXEC)
    clock.now += SECONDS
    assert watch.end() == []


def test_events_without_weights_count_once_each(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    watch.begin()
    tally(np.array([(71, FORK)] * 51, EVENT), None)
    clock.now += SECONDS
    assert [each.cgroup for each in watch.end()] == [71]


def test_a_cgroup_without_a_path_is_not_wanted(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    watch.begin()
    count(tally, 97, 10_007)
    clock.now += SECONDS
    assert watch.end() == []


def test_of_many_units_the_busiest_are_wanted(watch: StormWatch, clock: Clock) -> None:
    tally = tally_of(watch)
    watch.begin()
    for n in range(MOST_WANTED + 2):
        count(tally, 1000 + n, 1000 + n)
    clock.now += SECONDS
    assert [each.cgroup for each in watch.end()] == [1000 + n for n in reversed(range(2, MOST_WANTED + 2))]


def test_a_watch_rests_before_the_next(watch: StormWatch, clock: Clock) -> None:
    assert watch.may_begin
    watch.begin()
    assert not watch.may_begin
    clock.now += SECONDS
    watch.end()
    assert watch.due_in() is None
    assert not watch.may_begin
    clock.now += REST_SECONDS
    assert watch.may_begin


def test_a_site_without_rules_never_watches(watch: StormWatch) -> None:
    watch.rules = {}
    assert not watch.may_begin
    assert watch.tally(FORKS) is None


@pytest.mark.parametrize(
    "other",
    [
        probe(),
        probe(metric("probed_process_execs_total", {})),
        probe(metric("probed_process_forks_total", {}, decoder="comm")),
    ],
)
def test_a_probe_without_the_rules_metric_by_unit_is_not_counted(watch: StormWatch, other: LoadedProbe) -> None:
    assert watch.tally(other) is None
