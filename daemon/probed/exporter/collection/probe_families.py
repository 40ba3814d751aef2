# SPDX-License-Identifier: Apache-2.0
"""Takes the families and the sums of all probes for a page.

`collector` calls it with its lock, after `probe_readings`. Each probe's part is a step of `ProbeSteps`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from contextlib import suppress

from probed.exporter.collection.probe import RunningProbe
from probed.exporter.collection.probe_readings import ANNOUNCES_CGROUPS
from probed.exporter.collection.probe_steps import ProbeSteps
from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics.probes import ProbeStats
from probed.exporter.series.scrapers import Scrape

LOG = logging.getLogger("exporter")


class ProbeFamilies:
    """The families of the running probes, and the sums of each as of the last page."""

    def __init__(self, probes: Mapping[str, RunningProbe], steps: ProbeSteps, note_lost: Callable[[int], None]) -> None:
        """`note_lost` gets the number of lost announcements of control groups."""
        self._probes = probes
        self._steps = steps
        self._note_lost = note_lost
        self._numbers: dict[str, ProbeStats] = {}
        self._warned = set[str]()

    @property
    def numbers(self) -> list[ProbeStats]:
        """The sums of each probe as of the last page."""
        return list(self._numbers.values())

    def forget(self, name: str) -> None:
        """Drop the sums of a probe."""
        self._numbers.pop(name, None)
        self._warned.discard(name)

    def collect(self, left_out: Set[str], fill: Mapping[str, int], scrape: Scrape) -> list[Family]:
        """Return the families of all probes but some; `fill` are the bytes that waited in each ring."""
        collected = {name: probe for name, probe in self._probes.items() if name not in left_out}
        return [
            family for name, probe in collected.items() for family in self._collect(probe, fill.get(name, 0), scrape)
        ]

    def loss_summary(self) -> list[ProbeStats]:
        """Return losses and series of each probe as of the last drain, without probes that cannot be read."""
        numbers = []
        for probe in self._probes.values():
            with suppress(OSError):  # the next scrape fails too, and logs the error
                numbers.append(probe.loss_summary())
                self._note_losses(numbers[-1])
        return numbers

    def _collect(self, probe: RunningProbe, fill: int, scrape: Scrape) -> list[Family]:
        """Return one probe's families and note its sums; a failure costs only this probe's families."""
        families: list[Family] = []

        def take() -> None:
            nonlocal families
            families, self._numbers[probe.loaded.name] = probe.collect(fill, scrape)

        if self._steps.attempt(probe, take):
            self._note_losses(self._numbers[probe.loaded.name])
            self._warn_unaccounted(self._numbers[probe.loaded.name])
        return families

    def _note_losses(self, numbers: ProbeStats) -> None:
        """Walk the cgroup tree later if announcements were lost."""
        if numbers.name == ANNOUNCES_CGROUPS:
            self._note_lost(sum(numbers.lost.values()))

    def _warn_unaccounted(self, numbers: ProbeStats) -> None:
        """Log once that a probe has unaccounted events; the metric has the number."""
        if numbers.unaccounted and numbers.name not in self._warned:
            self._warned.add(numbers.name)
            LOG.error(
                "probe '%s': its programs submitted %d events fewer or more than its ring has records: its counts are "
                "wrong by that; report a bug, and see probed_events_unaccounted",
                numbers.name, numbers.unaccounted, extra={"PROBE": numbers.name},
            )  # fmt: skip
