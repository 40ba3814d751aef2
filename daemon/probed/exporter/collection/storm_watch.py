# SPDX-License-Identifier: Apache-2.0
"""Counts events by unit after a wake-up by a ring, and finds the units above a rule's rate.

Programs wake the exporter in a storm (the storm mark of probes/include/probed.bpf.h), and a quiet machine never comes
here. `collector` owns the watch, and drains before `begin` and before `end`: so the watch counts the events between
both calls, whichever way they come. Not thread-safe, as its owner.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.series.weights import Weights
from probed.ipc.evidence_messages import METRIC_OF, RuleName, WantEvidence
from probed.ipc.manifest import LoadedProbe, ResolvedMetric

SECONDS: Final = 0.5
"""Length of a watch."""

REST_SECONDS: Final = 1.5
"""Time after a watch without another: a storm that goes on wakes the exporter again."""

MOST_WANTED: Final = 5
"""Most units of one watch for which the exporter asks."""

Tally: TypeAlias = "Callable[[NDArray[Any], Weights | None], None]"
"""Counts a batch of a probe's events with their weights."""


class StormWatch:
    """The events of the present watch by rule and cgroup id."""

    def __init__(
        self,
        attribution: Callable[[int], Attribution],
        path: Callable[[int], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path` returns that of a cgroup id, from the hierarchy's root."""
        self.rules: Mapping[RuleName, float] = {}
        """Events a second above which evidence is wanted; the owner sets it before any probe."""
        self._attribution = attribution
        self._path = path
        self._clock = clock
        self._begun: float | None = None
        self._rest_until = clock()
        self._counts: defaultdict[RuleName, Counter[int]] = defaultdict(Counter)

    @property
    def may_begin(self) -> bool:
        """Whether a wake-up begins a watch."""
        return bool(self.rules) and self._begun is None and self._clock() >= self._rest_until

    def begin(self) -> None:
        """Count from now on."""
        self._begun = self._clock()

    def due_in(self) -> float | None:
        """Return the seconds until the end of the watch, 0 when due, None without a watch."""
        return None if self._begun is None else max(0.0, self._begun + SECONDS - self._clock())

    def tally(self, loaded: LoadedProbe) -> Tally | None:
        """Return the function that counts a probe's events, None for a probe without a rule."""
        for rule in self.rules:
            for metric in loaded.metrics:
                field = _cgroup_field(metric)
                if metric.name == METRIC_OF[rule] and not metric.maps and field:
                    return partial(self._count, rule, metric, field)
        return None

    def _count(
        self, rule: RuleName, metric: ResolvedMetric, field: str, events: NDArray[Any], weights: Weights | None
    ) -> None:
        if self._begun is None:
            return
        chosen = np.ones(len(events), bool)
        for name, value in metric.when.items():
            chosen &= events[name] == value
        times = np.ones(len(events), np.int64) if weights is None else weights.times
        numbers, places = np.unique(events[field][chosen], return_inverse=True)
        sums = np.bincount(places, times[chosen], len(numbers)).tolist()
        self._counts[rule].update(dict(zip(numbers.tolist(), map(int, sums), strict=True)))

    def end(self) -> list[WantEvidence]:
        """End the watch; return the units above a rule's rate, each with its busiest cgroup, the busiest unit first."""
        assert self._begun is not None
        seconds = self._clock() - self._begun
        wanted = [each for rule, counts in self._counts.items() for each in self._above(rule, counts, seconds)]
        self._begun, self._rest_until = None, self._clock() + REST_SECONDS
        self._counts.clear()
        return [each for _, each in sorted(wanted, key=lambda pair: -pair[0])[:MOST_WANTED]]

    def _above(self, rule: RuleName, counts: Counter[int], seconds: float) -> list[tuple[int, WantEvidence]]:
        units: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for cgroup, count in counts.items():
            path = self._path(cgroup)
            if path is not None:
                units[self._attribution(cgroup).unit][cgroup] = count
        loud = [each for each in units.values() if each.total() > self.rules[rule] * seconds]
        return [(each.total(), self._wanted(rule, each)) for each in loud]

    def _wanted(self, rule: RuleName, cgroups: Counter[int]) -> WantEvidence:
        (cgroup, _), *_ = cgroups.most_common(1)
        path = self._path(cgroup)
        assert path is not None
        return WantEvidence(rule, cgroup, path)


def _cgroup_field(metric: ResolvedMetric) -> str | None:
    return next((label.field for label in metric.labels if label.decoder == "cgroup_unit"), None)
