# SPDX-License-Identifier: Apache-2.0
"""A day without a scrape, played by a clock: 86,400 control groups are all counted and named.

One control group comes each second. Collector, cgroup tree, series tables and map sources are real; rings and the
kernel's maps are lists and dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.bpf.cgroup_keys import KnownCgroups
from probed.exporter.bpf.map_source import MapSource
from probed.exporter.cgroup.tree import MADE, MOST_REMOVED, REMOVED, WALK_SECONDS, CgroupTree
from probed.exporter.collection import collector
from probed.exporter.collection.collector import Collector
from probed.exporter.collection.probe_readings import ANNOUNCES_CGROUPS
from probed.exporter.decoders import Context, decoder
from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics.daemon import Build
from probed.exporter.self_metrics.probes import ProbeStats
from probed.exporter.self_metrics.process import Process
from probed.exporter.series.scrapers import UNATTENDED, Scrape
from probed.exporter.series.table import SeriesTable
from probed.ipc.manifest import Field, LoadedProbe, Map, Record, ResolvedLabel, ResolvedMetric
from support.unit.clock import Clock
from support.unit.series_tables import ledger, shown

DAY, BEAT_SECONDS = 86_400, 20
OPENS, EXECS = 3, 5
MAP_ENTRIES, RING_EVENTS, MARK = 8192, 2016, 504
"""Of the map `opens` and the ring of the probe `cgroups`, which wakes the loop at a quarter of it."""

FIELD = Field("cgroup", "u64", 0, 1)
KEY = Record(8, (FIELD,))
LAYOUT = Map("opens", "percpu_hash", KEY, MAP_ENTRIES)
ANNOUNCEMENT = np.dtype([("id", "<u8"), ("kind", "<u4"), ("pad", "<u4"), ("path", "V496")])


def announcements(of: list[tuple[int, int, str]]) -> NDArray[Any]:
    rows = [(number, kind, 0, np.void(path.encode().ljust(496, b"\0"))) for number, kind, path in of]
    return np.array(rows, ANNOUNCEMENT)


class PlayedKernel:
    """The rings of two probes and one map; events without room are lost."""

    def __init__(self) -> None:
        self.announced: list[tuple[int, int, str]] = []
        self.execs: list[int] = []
        self.opens: dict[int, int] = {}
        self.lost = 0
        self.last_keys = np.zeros(0, dtype(KEY))

    @property
    def entries(self) -> int:
        return len(self.last_keys)

    def announce(self, number: int, kind: int) -> None:
        if len(self.announced) < RING_EVENTS:
            self.announced.append((number, kind, f"/system.slice/job-{number}.service"))
        else:
            self.lost += 1

    def work(self, number: int) -> None:
        """Open some files, and exec some programs, in a control group."""
        self.execs += [number] * EXECS
        if number in self.opens or len(self.opens) < MAP_ENTRIES:
            self.opens[number] = self.opens.get(number, 0) + OPENS
        else:
            self.lost += OPENS

    # As a CountMap.

    def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        self.last_keys = np.array([(number,) for number in self.opens], dtype(KEY))
        return self.last_keys, np.fromiter(self.opens.values(), np.uint64, len(self.opens))

    def delete(self, keys: NDArray[Any]) -> None:
        for number in keys["cgroup"].tolist():
            self.opens.pop(number, None)


def counter(name: str, context: Context, clock: Clock) -> SeriesTable:
    label = ResolvedLabel("unit", "cgroup", "cgroup_unit", {})
    metric = ResolvedMetric(name, "counter", "Help.", (), {}, (label,), None, 1.0, (), 1000, 2.0 * DAY)
    return SeriesTable(metric, [(FIELD, decoder(label, context))], ledger(), clock)


class PlayedProbe:
    """A RunningProbe on the rings and the map of `PlayedKernel`."""

    ring_fd = None

    def __init__(self, host: Host, loaded: LoadedProbe, context: Context, hear: Callable[[Any], None] | None) -> None:
        self._kernel, self._hear = host.kernel, hear
        self.loaded = loaded
        self.execs, self.opens = counter("execs", context, host.clock), counter("opens", context, host.clock)
        known = KnownCgroups(context.removed_cgroups, context.doubt_cgroups)
        self._source = MapSource(host.kernel, LAYOUT, ledger(), known)  # type: ignore[arg-type]
        self.cgroup_room = None if hear else self._source.cgroup_room

    @property
    def is_filling(self) -> bool:
        return self._hear is None and self._source.is_filling

    @property
    def fill(self) -> int:
        return self.waiting()

    def waiting(self) -> int:
        return len(self._kernel.announced if self._hear else self._kernel.execs)

    def drain(self, end: int, _: object = None) -> bool:
        if self._hear:
            taken, self._kernel.announced = self._kernel.announced[:end], self._kernel.announced[end:]
            self._hear(announcements(taken))
        else:
            events, self._kernel.execs = self._kernel.execs[:end], self._kernel.execs[end:]
            self.execs.add_events(np.array([(number,) for number in events], dtype(KEY)))
        return True

    def is_overflowing(self) -> bool:
        return False

    def read_maps(self) -> None:
        if not self._hear:
            self._source.read()

    def count_maps(self) -> bool:
        if not self._hear:
            self.opens.add_counts([self._source.take()])
            self._source.settle()
        return True

    def retire(self) -> None:
        self._source.retire()

    def forget_keys(self) -> None:
        self.execs.forget_keys()
        self.opens.forget_keys()

    def collect(self, _: int, scrape: Scrape) -> tuple[list[Family], ProbeStats]:
        families = [] if self._hear else [self.execs.family(scrape), self.opens.family(scrape)]
        return families, ProbeStats(self.loaded.name)


class Host:
    """A collector on a host with a folder as tree of control groups, and a clock set by hand."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kernel, self.clock = PlayedKernel(), Clock()
        self.tree = root / "sys/fs/cgroup"
        self.tree.mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        self.cgroups = CgroupTree(root, self.clock)
        monkeypatch.setattr(collector, "CgroupTree", lambda: self.cgroups)
        monkeypatch.setattr(collector, "RunningProbe", self._probe)
        with Path("/proc/self/statm").open() as statm:
            self.collector = Collector(Build("1", "3", "", "6"), Process(0.0), 1, statm.fileno())

    def _probe(self, loaded: LoadedProbe, _fds: object, _cpus: int, context: Context, hear: Any = None) -> PlayedProbe:
        return PlayedProbe(self, loaded, context, hear)

    def add(self, *names: str) -> None:
        for name in names:
            self.collector.add(LoadedProbe(name, "1", None, 0, (), (), ()), {})

    def pages(self) -> dict[str, dict[str, int]]:
        """Return the values of both metrics by unit, from a scrape."""
        self.collector.walk_cgroups_if_due()
        self.collector.drain()
        self.collector._read_maps()
        families = self.collector._families._collect(self.collector._probes["work"], 0, UNATTENDED)
        return {family.name: shown(family) for family in families}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    yield Host(tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_day_of_short_lived_control_groups_is_all_counted_and_named(host: Host) -> None:
    host.add(ANNOUNCES_CGROUPS, "work")
    fullest = 0
    for second in range(DAY):
        host.clock.now += 1
        number = 1_000_000_007 + second
        host.kernel.announce(number, MADE)
        host.kernel.work(number)
        host.kernel.announce(number, REMOVED)
        fullest = max(fullest, len(host.kernel.opens))
        if len(host.kernel.announced) >= MARK:
            host.collector.drain()
        if second % BEAT_SECONDS == 0:
            host.collector.keep_up()
    pages = host.pages()
    assert {name: sum(values.values()) for name, values in pages.items()} == {
        "execs": DAY * EXECS,
        "opens": DAY * OPENS,
    }
    assert [values.get("unknown") for values in pages.values()] == [None, None]
    assert (host.kernel.lost, host.cgroups.unknown) == (0, 0)
    assert fullest < MAP_ENTRIES / 2
    assert len(host.cgroups) <= MOST_REMOVED + 1


def test_without_heartbeats_a_burst_is_read_before_the_map_is_half_full(host: Host) -> None:
    host.add(ANNOUNCES_CGROUPS, "work")
    for number in range(1_000_000_007, 1_000_000_007 + 20_011):
        host.kernel.announce(number, MADE)
        host.kernel.work(number)
        host.kernel.announce(number, REMOVED)
        if len(host.kernel.announced) >= MARK:
            host.collector.drain()
        assert len(host.kernel.opens) <= MAP_ENTRIES / 2
    assert {name: sum(values.values()) for name, values in host.pages().items()} == {
        "execs": 20_011 * EXECS,
        "opens": 20_011 * OPENS,
    }
    assert (host.kernel.lost, host.cgroups.unknown) == (0, 0)


def test_a_unit_that_nothing_announced_is_unknown_until_the_next_permitted_walk(host: Host) -> None:
    host.add("work")
    group = host.tree / "late.service"
    group.mkdir()
    number = group.stat().st_ino
    host.kernel.work(number)
    assert host.pages() == {"execs": {"unknown": EXECS}, "opens": {"unknown": OPENS}}
    host.clock.now += WALK_SECONDS
    host.kernel.work(number)
    host.kernel.work(number)
    assert host.pages() == {
        "execs": {"unknown": EXECS, "late.service": 2 * EXECS},
        "opens": {"unknown": OPENS, "late.service": 2 * OPENS},
    }


def test_an_idle_host_has_no_reading_but_its_scrapes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add(ANNOUNCES_CGROUPS, "work")
    monkeypatch.setattr(host.kernel, "read", lambda: pytest.fail("there is no reason to read the map"))
    for _ in range(DAY // BEAT_SECONDS):
        host.collector.keep_up()
    assert host.collector._work.drains == 0


def test_scrapes_beside_5000_living_control_groups_walk_no_tree(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map stays more than half full, and each scrape asks which of its control groups are removed."""
    host.add(ANNOUNCES_CGROUPS, "work")
    for number in range(1_000_000_007, 1_000_000_007 + 5003):
        host.kernel.announce(number, MADE)
        host.kernel.work(number)
        if len(host.kernel.announced) >= MARK:
            host.collector.drain()
    monkeypatch.setattr(host.cgroups, "read_tree", lambda: pytest.fail("there is no reason for a walk"))
    for _ in range(5):
        host.clock.now += WALK_SECONDS
        host.collector.keep_up()
        assert sum(host.pages()["opens"].values()) == 5003 * OPENS
    assert (len(host.kernel.opens), host.kernel.lost) == (5003, 0)


def test_8000_entries_of_removed_control_groups_are_deleted_in_few_calls(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletions = []
    delete = host.kernel.delete

    def note_deletion(keys: NDArray[Any]) -> None:
        deletions.append(len(keys))
        delete(keys)

    monkeypatch.setattr(host.kernel, "delete", note_deletion)
    host.add(ANNOUNCES_CGROUPS, "work")
    numbers = range(1_000_000_007, 1_000_000_007 + 8009)
    for number in numbers:
        host.kernel.announce(number, MADE)
        host.kernel.work(number)
        if len(host.kernel.announced) >= MARK:
            host.collector.drain()
    for number in numbers:
        host.kernel.announce(number, REMOVED)
        if len(host.kernel.announced) >= MARK:
            host.collector.drain()
    host.pages()
    host.pages()
    # A call for each reading: those are due after every 1,024 announcements, and with each of the two pages.
    assert sum(deletions) == 8009
    assert len(deletions) <= 8009 // 1000 + 2
