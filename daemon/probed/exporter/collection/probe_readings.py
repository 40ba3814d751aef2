# SPDX-License-Identifier: Apache-2.0
"""Drains the rings, and reads the maps and iterators, of all probes.

`collector` calls it with its lock, and decides when. In the order that this module keeps, every event finds its cgroup
announced. Each probe's part is a step of `ProbeSteps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from probed.exporter.cgroup.owners import CgroupOwners
from probed.exporter.collection.probe import RunningProbe
from probed.exporter.collection.probe_steps import ProbeSteps
from probed.exporter.decoders.lookup import Lookups

ANNOUNCES_CGROUPS = "cgroups"
"""The probe with announcements of control groups: the path of each cgroup id."""


class ProbeReadings:
    """Drains and readings of the running probes."""

    def __init__(
        self,
        probes: Mapping[str, RunningProbe],
        steps: ProbeSteps,
        owners: CgroupOwners,
        lookups: Lookups,
        pause: Callable[[], None],
    ) -> None:
        """`pause` gives up the collector's lock between two batches of a drain."""
        self._probes = probes
        self._steps = steps
        self._owners = owners
        self._lookups = lookups
        self._pause = pause
        self.held_up = set[str]()
        """The probes whose last drain ended early, at a record that its program had not submitted."""

    def are_overflowing(self) -> bool:
        """Say whether a probe has many events beside its full ring. A probe that fails costs only its own answer."""
        found = False

        def look() -> None:
            nonlocal found
            found |= probe.is_overflowing()

        for probe in self._probes.values():
            self._steps.attempt(probe, look, "drained")
        return found

    def drain(self) -> tuple[dict[str, int], set[str]]:
        """Drain every ring; return by probe how many bytes waited there, and the names of failed probes.

        A cgroup is announced before an event can have its id. So the announcements are taken after the ends of the
        other rings were read, and before their events. The lock is given up between batches: probes may come and go.
        """
        failed = set[str]()
        found = {name: self._find_waiting(probe, failed) for name, probe in self._probes.items()}
        self._hear_announcements(failed, self._pause)
        for name, (probe, _, end) in found.items():
            if name != ANNOUNCES_CGROUPS and name not in failed and self._probes.get(name) is probe:
                self._drain_one(probe, end, failed, self._pause)
        return {name: fill for name, (_, fill, _) in found.items()}, failed

    def _find_waiting(self, probe: RunningProbe, failed: set[str]) -> tuple[RunningProbe, int, int]:
        """Return the probe, how many bytes wait in its ring, and up to which record a drain would come now."""
        found = 0, 0

        def look() -> None:
            nonlocal found
            found = probe.fill, probe.waiting()

        if not self._steps.attempt(probe, look, "drained"):
            failed.add(probe.loaded.name)
        return probe, *found

    def _drain_one(
        self, probe: RunningProbe, end: int, failed: set[str], pause: Callable[[], None] | None = None
    ) -> None:
        reached = True

        def drain() -> None:
            nonlocal reached
            reached = probe.drain(end, pause)

        if not self._steps.attempt(probe, drain, "drained"):
            failed.add(probe.loaded.name)
        self._note_reached(probe, reached)

    def _hear_announcements(self, failed: set[str], pause: Callable[[], None] | None = None) -> None:
        """Take the announcements that wait."""
        announcing = self._probes.get(ANNOUNCES_CGROUPS)
        if announcing is not None:
            _, _, end = self._find_waiting(announcing, failed)
            self._drain_one(announcing, end, failed, pause)
        self._owners.hear()
        if any([self._owners.found_missed(), self._lookups.found_missed()]):
            for probe in self._probes.values():
                probe.forget_keys()

    def read_rows(self, left_out: Set[str]) -> set[str]:
        """Run the iterators of all probes but some; return the names of those and of failed probes.

        A cgroup is announced before a row can have its id, and `read_maps` takes the announcements.
        """
        failed = set(left_out)
        for name, probe in self._probes.items():
            if name not in failed and not self._steps.attempt(probe, probe.read_rows):
                failed.add(name)
        return failed

    def read_maps(self, left_out: Set[str]) -> set[str]:
        """Read and count the maps of all probes but some; return the names of those and of failed probes.

        A cgroup is announced before an entry can have its id. So the announcements are taken between reading and
        counting.
        """
        failed = set(left_out)
        for name, probe in self._probes.items():
            if name not in failed and not self._steps.attempt(probe, probe.read_maps):
                failed.add(name)
        self._hear_announcements(failed)
        for name, probe in self._probes.items():
            if name not in failed and not self._count_maps(probe):
                failed.add(name)
        return failed

    def _count_maps(self, probe: RunningProbe) -> bool:
        reached = True

        def count() -> None:
            nonlocal reached
            reached = probe.count_maps()

        succeeded = self._steps.attempt(probe, count)
        self._note_reached(probe, reached)
        return succeeded

    def _note_reached(self, probe: RunningProbe, reached: bool) -> None:
        (self.held_up.discard if reached else self.held_up.add)(probe.loaded.name)
