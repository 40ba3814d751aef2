# SPDX-License-Identifier: Apache-2.0
"""Counts beside a hash map are neither lost nor doubled, at any step of a program during a reading.

The program is that of probes/open_failures, store by store, on two CPUs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Set
from random import Random
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from probed.errors import LoadError
from probed.exporter.arrays.dtypes import dtype
from probed.exporter.bpf.cgroup_keys import KnownCgroups
from probed.exporter.bpf.map_source import MapSource
from probed.exporter.bpf.recent_counts import SLOT, RecentCounts
from probed.ipc.manifest import Field, Map, Record
from probed.loader import pipeline
from probed.loader.common.module import Module
from support.unit.series_tables import ledger

ENTRIES, CPUS = 8, 2
KEY = Record(8, (Field("cgroup", "u64", 0, 1),))
LAYOUT = Map("opens", "percpu_hash", KEY, ENTRIES, recent=1)

Steps = Iterator[None]


class Programs:
    """The hash, one slot a CPU, and programs; `turn` lets the next program make a step."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self.hash: dict[int, int] = {}
        self.values = np.zeros((1, CPUS), SLOT)
        self.done = Counter[int]()
        self.refused = 0
        self.living: set[int] = set()
        self.doubted: set[int] = set()
        self.last_keys = np.zeros(0, dtype(KEY))
        self._turn = turn
        self._slots = [dict.fromkeys(SLOT.names or (), 0) for _ in range(CPUS)]

    def count(self, cpu: int, key: int) -> Steps:
        """Act as count_open() does; a step ends where a reader could see the change."""
        slot = self._slots[cpu]
        if not (slot["key"] == key and slot["count"]):
            if key not in self.hash and len(self.hash) >= ENTRIES:
                self.refused += 1
                return
            self.hash.setdefault(key, 0)
            yield
            slot["stopped"] += 1
            yield
            if slot["key"] in self.hash:
                self.hash[slot["key"]] += slot["count"]
            else:
                assert not slot["count"], "the entry went before its count came"
            yield
            slot["count"] = 0
            yield
            slot["key"] = key
            yield
            slot["started"] = slot["stopped"]
            yield
        slot["count"] += 1
        self.done[key] += 1

    # The exporter's readings: the hash entry by entry, the slots word by word.

    def read_hash(self) -> tuple[NDArray[Any], NDArray[Any]]:
        found = []
        for key in list(self.hash):
            self._turn()
            found.append((key, self.hash[key]))
        self.last_keys = np.array([(key,) for key, _ in found], dtype(KEY))
        return self.last_keys, np.array([count for _, count in found], np.uint64)

    def read_slots(self) -> int:
        for cpu, slot in enumerate(self._slots):
            for word in slot:
                self._turn()
                self.values[0, cpu][word] = slot[word]
        return 1

    def delete(self, keys: NDArray[Any]) -> None:
        for key in keys["cgroup"].tolist():
            self.hash.pop(key, None)

    def removed(self) -> set[int]:
        return self.doubted - self.living

    def doubt(self, numbers: Set[int]) -> None:
        self.doubted |= numbers


class Hash:
    """As a CountMap."""

    def __init__(self, kernel: Programs) -> None:
        self._kernel = kernel
        self.read, self.delete = kernel.read_hash, kernel.delete

    @property
    def last_keys(self) -> NDArray[Any]:
        return self._kernel.last_keys


class Slots:
    """As `Entries`."""

    def __init__(self, kernel: Programs) -> None:
        self.read, self.values = kernel.read_slots, kernel.values


class Machine:
    """Two CPUs that count for control groups, the youngest three living; and an exporter."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._born = 1
        self.is_busy = True
        self._running: list[Steps] = [iter(()) for _ in range(CPUS)]
        self.kernel = Programs(self.turn)
        self.kernel.living = {1}
        known = KnownCgroups(self.kernel.removed, self.kernel.doubt)
        recent = RecentCounts(Slots(self.kernel))  # type: ignore[arg-type]
        self.source = MapSource(Hash(self.kernel), LAYOUT, ledger(), known, recent)  # type: ignore[arg-type]
        self.counted = Counter[int]()

    def turn(self) -> None:
        """Let programs go on for a while, or not at all; when one has ended, another begins."""
        for _ in range(self._random.choice((0, 0, 1, 2, 5, 20)) if self.is_busy else 0):
            self._step(self._random.randrange(CPUS))

    def _step(self, cpu: int) -> None:
        try:
            next(self._running[cpu])
        except StopIteration:
            self._running[cpu] = self.kernel.count(cpu, self._random.choice(sorted(self.kernel.living)))

    def finish(self) -> None:
        for steps in self._running:
            for _ in steps:
                pass

    def give_birth(self) -> None:
        """A control group is removed only without running programs inside."""
        self.finish()
        self._born += 1
        self.kernel.living = {*sorted(self.kernel.living)[-2:], self._born}

    def scrape(self) -> None:
        self.source.read()
        records, by = self.source.take()
        self.counted.update(dict(zip(records["cgroup"].tolist(), by.tolist(), strict=True)))
        self.source.settle()
        self.source.retire()
        assert self.counted <= self.kernel.done


@pytest.mark.parametrize("seed", range(97))
def test_whatever_happens_between_two_words_nothing_is_lost_or_there_twice(seed: int) -> None:
    random = Random(seed)
    machine = Machine(random)
    for _ in range(60):
        machine.turn()
        if random.random() < 0.3:
            machine.give_birth()
        machine.scrape()
    machine.finish()
    machine.is_busy = False
    machine.scrape()
    assert machine.counted == machine.kernel.done
    assert machine.kernel.refused == 0


def test_a_key_that_came_after_the_hash_was_read_waits_for_the_next_time() -> None:
    machine = Machine(Random(0))
    machine.is_busy = False
    machine.source.read()
    for _ in machine.kernel.count(0, 1):
        pass
    _, by = machine.source.take()
    assert by.sum() == 0
    machine.scrape()
    assert machine.counted == {1: 1}


class Compiled:
    """As the loader's Module: a hash of counts with keys of a type, and slots under a name."""

    def __init__(self, key: Record, slots: str) -> None:
        self._hash = Map("opens", "hash", key, ENTRIES)
        self._slots = slots

    def map_names(self) -> list[str]:
        return ["opens", self._slots]

    def count_map(self, name: str) -> Map | str:
        return self._hash if name == "opens" else "its values are recent_count, not u64"

    def recent_slots(self, name: str) -> int:
        return 8 if name == self._slots else 0


TWO_HALVES = Record(8, (Field("syscall", "u32", 0, 1), Field("errno", "u32", 4, 1)))
HALF_A_WORD = Record(4, (Field("cgroup", "u32", 0, 1),))


@pytest.mark.parametrize("key", [KEY, TWO_HALVES])
def test_slots_belong_to_the_hash_whose_name_they_have(key: Record) -> None:
    maps, _ = pipeline._maps("p", cast(Module, Compiled(key, "opens_recent")))
    assert maps["opens"].recent == 8


@pytest.mark.parametrize(("key", "slots"), [(KEY, "others_recent"), (KEY, "recent"), (HALF_A_WORD, "opens_recent")])
def test_slots_that_belong_to_no_hash_are_refused(key: Record, slots: str) -> None:
    with pytest.raises(LoadError, match=f"map '{slots}' of struct recent_count stands beside no map of counts"):
        pipeline._maps("p", cast(Module, Compiled(key, slots)))


def test_counts_of_a_key_of_two_members_are_added_to_its_entry() -> None:
    records = np.array([(59, 2), (2, 13), (257, 2)], dtype(TWO_HALVES))
    recent = np.array([2 << 32 | 257, 13 << 32 | 2, 2 << 32 | 257], np.uint64)
    slots = np.zeros(3, SLOT)
    slots["key"], slots["count"] = recent, (7, 11, 13)

    class Counts:
        last_keys = records[:0]
        entries = 3

        def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
            return records, np.array([1, 2, 3], np.uint64)

    class Held:
        values = slots

        def read(self) -> int:
            return 3

    known = KnownCgroups(set, lambda _: None)
    layout = Map("failures", "hash", TWO_HALVES, 8, recent=3)
    source = MapSource(Counts(), layout, ledger(), known, RecentCounts(Held()))  # type: ignore[arg-type]
    source.read()
    found, by = source.take()
    assert dict(zip(found.tolist(), by.tolist(), strict=True)) == {(59, 2): 1, (2, 13): 13, (257, 2): 23}
