# SPDX-License-Identifier: Apache-2.0
"""Events with a weight of one probe: in the ring, in slots, and in overflow maps.

`probe` owns one where the probe's `struct event` begins with WEIGHT (probes/include/probed.bpf.h). A reading takes
slots and maps before the ring's end is read, and counts them after the ring was drained up to there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.series.weights import Weights
from probed.exporter.weights.event_slots import EventSlots
from probed.exporter.weights.overflow import LABEL_SETS, Overflow, OverflowStats, TurnMaps, map_turn
from probed.exporter.weights.slot_totals import SlotTotals
from probed.ipc.manifest import OTHERS_MAPS, OVERFLOW_MAPS, FdName, LoadedProbe, Record, without_weight

WEIGHT_BYTES = 24
"""The macro WEIGHT of probes/include/probed.bpf.h."""

LABEL_BYTES = 128
"""struct label_set."""

MANY_WAITING = LABEL_SETS // 4
"""Events in the overflow maps after which a drain reads them; fewer wait for the next scrape."""

CGROUP_ROOM = 1 << 13
"""Control groups that may come before the slots are read: later the path of an early one may be forgotten."""


class WeightedEvents:
    """Not thread-safe, as its owner."""

    def __init__(self, slots: EventSlots, totals: SlotTotals, overflow: Overflow, ledger: Ledger) -> None:
        self._slots = slots
        self._totals = totals
        self._overflow = overflow
        self._is_new = not ledger.commits
        self._lacking = ledger.scalar()
        self._found: NDArray[Any] = np.zeros(0)
        self.cgroup_room: int | None = None
        """How many control groups may come between two readings; None where events have none."""

    @classmethod
    def of(
        cls,
        loaded: LoadedProbe,
        fds: Mapping[FdName, int],
        cpus: int,
        ledger: Ledger,
        read_stats: Callable[[], OverflowStats],
    ) -> WeightedEvents:
        """Return the events of a loaded probe, from an earlier exporter's end on. Raises OSError, SpoiledState."""
        assert loaded.event is not None
        labels = _label_layout(loaded.event)
        slots = EventSlots.of(fds[FdName("slots")], loaded.slots, cpus, labels)
        totals = SlotTotals(ledger, cpus * loaded.slots)
        first, second = (
            TurnMaps.of(fds[FdName("hash", label_sets)], fds[FdName("hash", others)], labels)
            for label_sets, others in zip(OVERFLOW_MAPS, OTHERS_MAPS, strict=True)
        )
        overflow = Overflow((first, second), map_turn(fds[FdName("turn")]), read_stats, ledger)
        events = cls(slots, totals, overflow, ledger)
        if any(field.name == "cgroup" for field in labels.fields):
            events.cgroup_room = CGROUP_ROOM
        return events

    @property
    def unaccounted(self) -> int:
        """Events that programs counted, and that neither a record nor a slot nor a map had."""
        return self._lacking.value

    def are_many_waiting(self) -> bool:
        """Say whether the maps should be read soon. Raises OSError."""
        return self._overflow.waiting() >= MANY_WAITING

    def weigh(self, records: NDArray[Any]) -> Weights:
        """Return the weights of records of the ring that are new, which are counted then."""
        return Weights(self._totals.count_records(records))

    def read(self) -> None:
        """Read the slots and the maps. Raises OSError."""
        self._found = self._slots.read()
        self._overflow.read()

    def take(self, are_drained: bool) -> Iterator[tuple[NDArray[Any], Weights]]:
        """Yield the events that `read` found and that are new, with their weights; they are counted then.

        `are_drained` says whether the ring was drained up to an end that was read after the slots.
        """
        if len(self._found):
            times, missing = self._totals.count_slots(self._found, are_drained)
            if are_drained:
                self._lacking.value += 0 if self._is_new else missing
                self._is_new = False
            fresh = times > 0
            yield self._found["labels"][fresh], Weights(times[fresh])
            self._found = self._found[:0]
        counted = self._overflow.take()
        if counted is not None:
            label_sets, others, lacking = counted
            self._lacking.value += abs(lacking)
            for events, sums, are_others in ((*label_sets, False), (*others, True)):
                if len(events):
                    yield events, _weights(sums, are_others)

    def retire(self) -> bool:
        """Empty the maps that were counted and committed; say whether there were any. Raises OSError."""
        return self._overflow.retire()


def _weights(sums: NDArray[Any], are_others: bool) -> Weights:
    observed, remainders = (sums[name].astype(np.int64) for name in ("observed", "remainder"))
    return Weights(sums["count"].astype(np.int64), observed - WEIGHT_BYTES, remainders, are_others)


def _label_layout(event: Record) -> Record:
    """Return the layout of struct label_set: the members of the event behind WEIGHT."""
    fields = without_weight(event).fields
    return Record(LABEL_BYTES, tuple(replace(field, offset=field.offset - WEIGHT_BYTES) for field in fields))
