# SPDX-License-Identifier: Apache-2.0
"""Events with a weight count once, at any step of a program and any death of the exporter.

The programs are those of probes/include/probed.bpf.h, store by store, on two CPUs and with a small ring.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.weights.event_slots import EventSlots, slot_dtype
from probed.exporter.weights.overflow import SUMS, Overflow, OverflowStats, TurnMaps
from probed.exporter.weights.slot_totals import SlotTotals
from probed.exporter.weights.weighted_events import WeightedEvents
from probed.ipc.manifest import Field, Record

CPUS, SLOTS, LABEL_SETS, RING_RECORDS, MAP_ENTRIES = 2, 2, 7, 3, 4
OTHER = LABEL_SETS
"""The label set in which the exporter counts the others."""
LABELS = Record(16, (Field("label", "u64", 0, 1),))
PADDING = b"\x5a" * 8
"""Bytes of a key behind its members, as the kernel compares them."""
RECORD = np.dtype([("weight", "<u8"), ("slot_total", "<u8"), ("slot", "<i8"), ("label", "<u8")])

Steps = Iterator[None]


class Killed(Exception):
    """The exporter died here."""


class Kernel:
    """Slots, ring and overflow maps, and programs; `turn` lets programs make steps during a reading."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._between_words = turn
        self.slots = [dict.fromkeys(slot_dtype(LABELS).names or (), 0) for _ in range(CPUS * SLOTS)]
        self.ring: list[dict[str, int]] = []
        self.taken = 0
        self.maps, self.others = (Counter[int](), Counter[int]()), (Counter[int](), Counter[int]())
        self.turn = np.zeros(1, np.uint64)
        self.begun, self.kept, self.left = [0, 0], [0, 0], [0, 0]
        self.done = Counter[int]()
        self.lost = 0
        self.records = 0

    def _reserve(self, label: int, weight: int, total: int, slot: int) -> dict[str, int] | None:
        if len(self.ring) - self.taken >= RING_RECORDS:
            return None
        self.records += 1
        self.ring.append({"weight": weight, "slot_total": total, "slot": slot, "label": label, "busy": 1})
        return self.ring[-1]

    def count(self, cpu: int, label: int) -> Steps:
        """Act as count_event() does; a step ends where the exporter could see the change."""
        number = cpu * SLOTS + label % SLOTS
        slot = self.slots[number]
        weight = slot["total"] - slot["before"]
        if not (weight and slot["labels"] == label):
            if weight:
                record = self._reserve(slot["labels"], weight, slot["total"], slot["slot"])
                yield
                if record is None:
                    yield from self._overflow(label)
                    return
                record["busy"] = 0
                yield
            slot["stopped"] += 1
            yield
            slot["slot"] = number
            yield
            slot["before"] = slot["total"]
            yield
            slot["labels"] = label
            yield
            slot["started"] = slot["stopped"]
            yield
        slot["total"] += 1
        self.done[label] += 1

    def observe(self, label: int) -> Steps:
        """Act as observe_event() does."""
        record = self._reserve(label, 1, 1, -1)
        yield
        if record is None:
            yield from self._overflow(label)
            return
        record["busy"] = 0
        self.done[label] += 1

    def _overflow(self, label: int) -> Steps:
        maps, counted = self.maps, label
        for _ in range(4):
            now = int(self.turn[0])
            yield
            self.begun[now] += 1
            yield
            if now != int(self.turn[0]):
                self.left[now] += 1
                continue
            yield
            if label in maps[now] or len(maps[now]) < MAP_ENTRIES:
                maps[now][label] += 0
                yield
                assert label in maps[now], "the exporter deleted an entry that a program adds to"
                maps[now][label] += 1
                yield
                self.kept[now] += 1
                self.done[counted] += 1
                return
            self.left[now] += 1
            maps, label, counted = self.others, label % 2, OTHER
        self.lost += 1

    # The exporter's readings, word by word.

    def stats(self) -> OverflowStats:
        read = []
        for sums in (self.kept, self.left, self.begun):
            self._between_words()
            read.append((sums[0], sums[1]))
        return OverflowStats(begun=read[2], kept=read[0], left=read[1])


class SlotEntries:
    """As `Entries` of the slots."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.values = np.zeros((SLOTS, CPUS), slot_dtype(LABELS))

    def read(self) -> int:
        for slot, copy in zip(self._kernel.slots, self.values.reshape(-1, 1), strict=True):
            for word in slot:
                self._kernel._between_words()
                copy[word] = slot[word]
        return SLOTS


class MapEntries:
    """As `Entries` of an overflow map. `may_die` may kill the exporter between two deletions."""

    def __init__(self, kernel: Kernel, content: Counter[int], may_die: Callable[[], None]) -> None:
        self._kernel, self._content, self._may_die = kernel, content, may_die
        self.keys = np.frombuffer(bytearray((bytes(8) + PADDING) * MAP_ENTRIES), dtype(LABELS))
        self.values = np.zeros((MAP_ENTRIES, 1), dtype(SUMS))

    def read(self) -> int:
        for at, label in enumerate(list(self._content)):
            self._kernel._between_words()
            self.keys["label"][at], self.values[at, 0] = label, (self._content[label], 0, 0)
        return len(self._content)

    def delete(self, keys: NDArray[Any]) -> None:
        for label in keys["label"].tolist():
            self._may_die()
            assert keys.view(np.uint64)[1::2].tobytes() == PADDING * len(keys)
            del self._content[label]


class Exporter:
    """Counts by label set in a ledger, with the position in the ring, as RunningProbe does."""

    def __init__(self, kernel: Kernel, memory: int, may_die: Callable[[], None]) -> None:
        self._kernel, self._may_die = kernel, may_die
        self._ledger = ledger = Ledger(memory, "test")
        self._position = ledger.scalar()
        self._counts = ledger.array(LABEL_SETS + 1, 1)
        totals = SlotTotals(ledger, CPUS * SLOTS)
        first, second = (
            TurnMaps(MapEntries(kernel, label_sets, may_die), MapEntries(kernel, others, may_die))  # type: ignore[arg-type]
            for label_sets, others in zip(kernel.maps, kernel.others, strict=True)
        )
        overflow = Overflow((first, second), kernel.turn, kernel.stats, ledger)
        slots = EventSlots(SlotEntries(kernel))  # type: ignore[arg-type]
        self.events = WeightedEvents(slots, totals, overflow, ledger)
        kernel.taken = max(kernel.taken, self._position.value)

    @property
    def counted(self) -> Counter[int]:
        return Counter({label: int(n) for label, n in enumerate(self._counts.read()[:, 0]) if n})

    def _add(self, labels: NDArray[Any], times: NDArray[Any]) -> None:
        np.add.at(self._counts.write(LABEL_SETS + 1)[:, 0], labels.astype(np.intp), times.astype(np.uint64))

    def drain(self, end: int) -> bool:
        ring, taken = self._kernel.ring, self._kernel.taken
        busy = [at for at in range(taken, end) if ring[at]["busy"]]
        upto = min([end, *busy])
        records = np.array([tuple(ring[at][name] for name in RECORD.names or ()) for at in range(taken, upto)], RECORD)
        self._add(records["label"], self.events.weigh(records).times)
        self._may_die()
        self._position.value = upto
        self._ledger.commit()
        self._may_die()
        self._kernel.taken = upto
        return upto == end

    def scrape(self) -> None:
        self.events.read()
        self._may_die()
        end = len(self._kernel.ring)
        are_drained = self.drain(end)
        for events, weights in self.events.take(are_drained):
            self._add(np.full(len(events), OTHER) if weights.are_others else events["label"], weights.times)
        self._may_die()
        self._ledger.commit()
        self._may_die()
        if self.events.retire():
            self._may_die()
            self._ledger.commit()


class Machine:
    """Two CPUs with programs, and exporters one after another on one ledger."""

    def __init__(self, random: Random, deadly: bool) -> None:
        self._random = random
        self._deadly = deadly
        self.is_busy = True
        self._running: list[Steps] = [iter(()) for _ in range(CPUS)]
        self.kernel = Kernel(self.turn)
        self.memory = os.memfd_create("state")
        self.exporter = self._born()
        self.deaths = 0

    def _born(self) -> Exporter:
        return Exporter(self.kernel, self.memory, self._may_die)

    def _may_die(self) -> None:
        self.turn()
        if self._deadly and self.is_busy and self._random.random() < 0.05:
            raise Killed

    def turn(self) -> None:
        """Let programs go on for a while, or not at all."""
        for _ in range(self._random.choice((0, 0, 1, 2, 5)) if self.is_busy else 0):
            cpu = self._random.randrange(CPUS)
            try:
                next(self._running[cpu])
            except StopIteration:
                label = self._random.randrange(LABEL_SETS)
                observes = self._random.random() < 0.2
                self._running[cpu] = self.kernel.observe(label) if observes else self.kernel.count(cpu, label)

    def finish(self) -> None:
        self.is_busy = False
        for steps in self._running:
            for _ in steps:
                pass

    def scrape(self) -> None:
        try:
            self.exporter.scrape()
        except Killed:
            self.deaths += 1
            self.exporter = self._born()
        assert self.exporter.counted <= self.kernel.done
        assert self.exporter.events.unaccounted == 0


@pytest.mark.parametrize("deadly", [False, True])
@pytest.mark.parametrize("seed", range(13))
def test_whatever_happens_between_two_words_every_event_counts_once(seed: int, deadly: bool) -> None:
    random = Random(seed)
    machine = Machine(random, deadly)
    for _ in range(80):
        for _ in range(random.choice((1, 5, 25))):
            machine.turn()
        machine.scrape()
    machine.finish()
    for _ in range(3):
        machine.scrape()
    assert machine.exporter.counted == machine.kernel.done
    assert (machine.deaths > 0) == deadly
    assert sum(machine.kernel.kept) > 0
    assert machine.kernel.done[OTHER] > 0
    os.close(machine.memory)


def test_a_storm_of_one_label_set_sends_no_record_and_every_page_has_its_events() -> None:
    machine = Machine(Random(1), deadly=False)
    machine.is_busy = False
    for page in range(1, 6):
        for _ in range(10_007):
            for _ in machine.kernel.count(0, 3):
                pass
        machine.scrape()
        assert machine.exporter.counted == {3: page * 10_007}
    assert machine.kernel.records == 0


def test_a_full_ring_and_no_exporter_lose_nothing() -> None:
    machine = Machine(Random(1), deadly=False)
    machine.is_busy = False
    for number in range(10_007):
        for _ in machine.kernel.count(0, number % 5):
            pass
    assert machine.kernel.records == RING_RECORDS
    machine.scrape()
    machine.scrape()
    assert machine.exporter.counted == machine.kernel.done
    assert (machine.exporter.counted.total(), machine.kernel.lost) == (10_007, 0)


def test_label_sets_without_room_in_the_map_count_as_others() -> None:
    machine = Machine(Random(1), deadly=False)
    machine.is_busy = False
    for number in range(10_007):
        for _ in machine.kernel.count(0, number % LABEL_SETS):
            pass
    machine.scrape()
    machine.scrape()
    counted = machine.exporter.counted
    assert counted == machine.kernel.done
    assert (counted.total(), counted[OTHER] > 0, machine.kernel.lost) == (10_007, True, 0)


def test_an_exporter_without_the_numbers_of_earlier_ones_begins_with_the_slots_and_maps_as_they_are() -> None:
    machine = Machine(Random(1), deadly=False)
    machine.is_busy = False
    for number in range(1_009):
        for _ in machine.kernel.count(0, number % 5):
            pass
    machine.scrape()
    os.ftruncate(machine.memory, 0)
    for number in range(1_009):
        for _ in machine.kernel.count(0, number % 5):
            pass
    machine.exporter = machine._born()
    for _ in range(3):
        machine.scrape()
    assert 1_009 <= machine.exporter.counted.total() < 2 * 1_009


def test_events_that_no_record_has_are_unaccounted() -> None:
    machine = Machine(Random(1), deadly=False)
    machine.is_busy = False
    for label in (1, 1, 1, 3, 5):
        for _ in machine.kernel.count(0, label):
            pass
    machine.scrape()
    for _ in machine.kernel.count(0, 1):
        pass
    machine.kernel.ring.pop()
    machine.exporter.scrape()
    assert machine.exporter.events.unaccounted == 0, "the slot's event was counted from the slot before"
    for label in (3, 3, 5):
        for _ in machine.kernel.count(0, label):
            pass
    machine.kernel.ring.pop()
    machine.exporter.scrape()
    assert machine.exporter.events.unaccounted == 2
