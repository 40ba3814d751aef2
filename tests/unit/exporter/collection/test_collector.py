# SPDX-License-Identifier: Apache-2.0
"""All probes together: a failed collection costs only the families of one probe."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from probed.errors import REASONS
from probed.exporter.arrays.ledger import require
from probed.exporter.cgroup.pod_names import PodNames
from probed.exporter.collection import collector as collection
from probed.exporter.collection.collector import Collector
from probed.exporter.self_metrics.daemon import Build
from probed.exporter.self_metrics.probes import ProbeStats
from probed.exporter.self_metrics.process import Process
from probed.ipc.exporter_messages import ProbeStatus, Status
from probed.ipc.manifest import FdName, LoadedProbe
from support.unit.clock import Clock


class Fake:
    """Stands for a running probe; `broken` makes its collection fail."""

    def __init__(self, loaded: LoadedProbe, *_: Any) -> None:
        self.loaded = loaded
        self.ring_fd = None
        self.broken = False
        self.broken_drain = ""
        self.drains = 0
        self.held_up = False
        self.events = 0
        self.closed = False
        self.fill = 0
        self.unaccounted = 0
        self.cgroup_room = None
        self.is_filling = False
        self.forgets = 0
        self.renewals = 0
        self.broken_retire = False
        self.retires = 0
        self.overflowing = False
        self.readings = 0
        self.row_readings = 0
        self.broken_rows = False
        self.in_pause: Callable[[], None] = lambda: None

    def renewed(self) -> "Fake":
        self.renewals += 1
        return self

    def forget_keys(self) -> None:
        self.forgets += 1

    def waiting(self) -> int:
        if self.broken_drain == "waiting":
            raise ValueError("a spoiled position")
        return 0

    def drain(self, _: int, pause: Callable[[], None] | None = None) -> bool:
        if self.broken_drain == "drain":
            raise IndexError("a spoiled record")
        self.drains += 1
        if pause is not None:
            self.in_pause()
            pause()
        return not self.held_up

    def is_overflowing(self) -> bool:
        return self.overflowing

    def read_rows(self) -> None:
        if self.broken_rows:
            raise OSError(7, "Argument list too long")
        self.row_readings += 1

    def read_maps(self) -> None:
        self.readings += 1

    def count_maps(self) -> bool:
        return not self.held_up

    def retire(self) -> None:
        if self.broken_retire:
            raise OSError(9, "Bad file descriptor")
        self.retires += 1

    def collect(self, *_: Any) -> tuple[list[Any], ProbeStats]:
        if self.broken:
            raise OSError(9, "Bad file descriptor")
        self.events += 1
        return [], ProbeStats(
            self.loaded.name, emitted=self.events, delivered=self.events, unaccounted=self.unaccounted
        )

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collection of probes `a` and `b`."""
    monkeypatch.setattr(collection, "RunningProbe", Fake)
    with open("/proc/self/statm") as statm:  # noqa: PTH123 (the open file is what is handed over)
        both = Collector(Build("1", "3", "", "6"), Process(1.0), 1, statm.fileno(), Clock(step=3.0))
        for name in "ab":
            both.add(LoadedProbe(name, "1", None, 0, (), (), ()), {})
        failures: dict[str, int] = dict.fromkeys(REASONS, 0)
        probes = tuple(ProbeStatus(name, "Text.", True, "", "", failures) for name in "ab")
        both.status.supervisor = Status(probes, "0.26", True, 1.0, 0)
        yield both


def values(both: Collector, name: str) -> dict[str, float]:
    family = next(family for family in both.scrape() if family.name == name)
    return dict(zip([labels[0] for labels in family.labels], family.values.tolist(), strict=True))


def test_a_probe_that_cannot_be_collected_is_counted_and_the_others_go_on(both: Collector) -> None:
    both.scrape()
    both._probes["a"].broken = True  # type: ignore[attr-defined]
    assert values(both, "probed_events_emitted_total") == {"a": 1, "b": 2}
    assert values(both, "probed_probe_collect_failures_total") == {"a": 2, "b": 0}


def test_after_a_failed_look_up_that_may_succeed_now_all_probes_make_their_label_text_anew(
    both: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_succeed = [False, True, False]
    monkeypatch.setattr(both._lookups, "found_missed", lambda: may_succeed.pop(0))
    for _ in range(3):
        both.drain()
    assert [both._probes[name].forgets for name in "ab"] == [1, 1]  # type: ignore[attr-defined]


def test_an_owner_that_has_a_name_now_makes_all_text_anew(both: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, may_have_name = list[bool](), [False, True, False]
    monkeypatch.setattr(both._owners, "hear", lambda: heard.append(both._lock.is_locked))
    monkeypatch.setattr(both._owners, "found_missed", lambda: may_have_name.pop(0))
    for _ in range(3):
        both.drain()
    assert heard == [True] * 3
    assert [both._probes[name].forgets for name in "ab"] == [1, 1]  # type: ignore[attr-defined]


def test_kubelets_folders_are_listed_without_the_lock_and_never_at_a_scrape(
    both: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = list[bool]()

    def note_lock(_: object) -> dict[int, dict[str, PodNames]]:
        locked.append(both._lock.is_locked)
        return {}

    monkeypatch.setattr(both._owners.kubelet_logs, "read", note_lock)
    both.keep_up()
    assert locked == []
    both._owners.watched_pod_names()
    both.scrape()
    both.drain()
    assert locked == []
    both.keep_up()
    assert locked == [False]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["waiting", "drain"])
def test_a_probe_that_cannot_be_drained_costs_only_its_own_drain(
    both: Collector, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    both.add(LoadedProbe("cgroups", "1", None, 0, (), (), ()), {})
    for name in ("a", "cgroups"):
        both._probes[name].broken_drain = step  # type: ignore[attr-defined]
    both.drain()
    assert not both.is_held_up
    assert both._probes["a"].drains == 0  # type: ignore[attr-defined]
    assert both._probes["b"].drains == 1  # type: ignore[attr-defined]
    assert "probe 'a': cannot be drained: " in caplog.text
    assert [both._probes[name].renewals for name in "ab"] == [1, 0]  # type: ignore[attr-defined]
    assert values(both, "probed_events_emitted_total") == {"a": 0, "b": 1}
    assert values(both, "probed_probe_collect_failures_total") == {"a": 3, "b": 0}
    both._probes["a"].broken_drain = ""  # type: ignore[attr-defined]
    assert values(both, "probed_events_emitted_total") == {"a": 1, "b": 3}


def test_entries_are_deleted_and_the_tree_is_walked_without_the_lock(
    both: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = []

    def note_lock() -> None:
        locked.append(both._lock.is_locked)

    monkeypatch.setattr(type(both._cgroups), "wants_walk", True)
    monkeypatch.setattr(both._cgroups, "read_tree", note_lock)
    monkeypatch.setattr(both._probes["a"], "retire", note_lock)
    both.scrape()
    both.keep_up()
    assert locked == [False] * 4


def test_a_probe_that_goes_waits_for_deletions_before_its_files_are_closed(both: Collector) -> None:
    probe = both._probes["a"]
    with both._deleting:
        gone = threading.Thread(target=both.remove, args=("a",))
        gone.start()
        gone.join(0.1)
        assert not probe.closed  # type: ignore[attr-defined]
    gone.join()
    assert probe.closed  # type: ignore[attr-defined]


def test_a_failed_deletion_counts_as_a_failed_collection(both: Collector) -> None:
    both._probes["a"].broken_retire = True  # type: ignore[attr-defined]
    both.drain()
    assert values(both, "probed_probe_collect_failures_total") == {"a": 2, "b": 0}


def test_announcements_are_trusted_while_their_probe_runs(both: Collector) -> None:
    assert not both._cgroups.hears_all
    both.add(LoadedProbe("cgroups", "1", None, 0, (), (), ()), {})
    assert both._cgroups.hears_all
    both.remove("cgroups")
    assert not both._cgroups.hears_all


def test_a_collection_is_held_up_while_one_of_its_rings_is(both: Collector) -> None:
    both.drain()
    assert not both.is_held_up
    both._probes["a"].held_up = True  # type: ignore[attr-defined]
    both.drain()
    assert both.is_held_up
    both._probes["a"].held_up = False
    both.drain()
    assert not both.is_held_up


def test_a_probe_of_the_same_name_takes_the_older_one_s_place(both: Collector) -> None:
    old = both._probes["a"]
    both.add(LoadedProbe("a", "2", None, 0, (), (), ()), {})
    assert old.closed  # type: ignore[attr-defined]
    assert both._probes["a"].loaded.fingerprint == "2"


def test_an_older_version_of_the_same_counts_ends_before_the_new_one_reads_the_memory(
    both: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, was_closed = both._probes["a"], []

    def make(loaded: LoadedProbe, *_: object) -> Fake:
        was_closed.append(old.closed)  # type: ignore[attr-defined]
        return Fake(loaded)

    monkeypatch.setattr(collection, "RunningProbe", make)
    both.add(LoadedProbe("a", "1", None, 0, (), (), (), object="d"), {})
    assert was_closed == [True]
    assert both._probes["a"].loaded.object == "d"


def test_what_is_removed_counts_as_nothing(both: Collector) -> None:
    both.scrape()
    both.remove("a")
    both.remove("never there")
    assert values(both, "probed_events_emitted_total") == {"a": 0, "b": 2}


def test_the_supervisor_s_memory_is_read_where_it_said(both: Collector) -> None:
    family = next(f for f in both.scrape() if f.name == "probed_supervisor_resident_memory_bytes")
    assert family.values[0] > 1e6
    assert family.values[0] % os.sysconf("SC_PAGESIZE") == 0


def test_a_probe_whose_descriptors_did_not_arrive_is_left_out(
    both: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    received = os.memfd_create("stats")
    assert (
        both.add(
            LoadedProbe("a", "2", None, 0, (), (), (FdName("stats"), FdName("state"))), {FdName("stats"): received}
        )
        is None
    )
    assert "probe 'a' is left out until a restart: Too many open files (EMFILE)" in caplog.text
    assert "LimitNOFILE=" in caplog.text
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(received)
    assert values(both, "probed_probe_collect_failures_total") == {"a": 1, "b": 0}
    assert values(both, "probed_events_emitted_total") == {"a": 0, "b": 2}
    assert values(both, "probed_probe_up") == {"a": 0, "b": 1}
    assert both.status.left_out == ["a"]
    assert both.status.current is not None
    left_out, served = both.status.current.probes
    assert (left_out.reason, served.reason) == ("internal", "")
    assert left_out.text.startswith("the exporter has it left out until a restart: Too many open files (EMFILE)")
    both.add(LoadedProbe("a", "3", None, 0, (), (), ()), {})
    assert values(both, "probed_probe_up") == {"a": 1, "b": 1}
    assert values(both, "probed_probe_collect_failures_total") == {"a": 3, "b": 0}


def test_drains_and_collections_are_counted_with_their_seconds(both: Collector) -> None:
    both.drain()
    both.drain()
    both.scrape()
    work = {family.name: family.values.tolist() for family in both.scrape() if not family.label_names}
    assert work["probed_drains_total"] == [4]
    assert work["probed_drain_seconds_total"] == [12]
    assert work["probed_collections_total"] == [2]
    assert work["probed_collection_seconds_total"] == [6]


def test_unaccounted_events_are_logged_once_a_probe(both: Collector, caplog: pytest.LogCaptureFixture) -> None:
    both._probes["a"].unaccounted = 7  # type: ignore[attr-defined]
    assert values(both, "probed_events_unaccounted") == {"a": 7, "b": 0}
    both._probes["a"].unaccounted = 11  # type: ignore[attr-defined]
    assert values(both, "probed_events_unaccounted") == {"a": 11, "b": 0}
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("probe 'a': its programs submitted 7 events fewer or more than its ring has records")


def test_a_probe_with_spoiled_counts_begins_anew_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Spoiled(Fake):
        def __init__(self, loaded: LoadedProbe, fds: dict[FdName, int], *_: Any) -> None:
            require(not os.fstat(fds[FdName("state")]).st_size, "a number is out of range")
            super().__init__(loaded)

    monkeypatch.setattr(collection, "RunningProbe", Spoiled)
    with open("/proc/self/statm") as statm:  # noqa: PTH123 (the open file is what is handed over)
        collector = Collector(Build("1", "3", "", "6"), Process(1.0), 1, statm.fileno(), Clock(step=3.0))
        state = os.memfd_create("state")
        os.write(state, b"spoiled")
        collector.add(LoadedProbe("a", "1", None, 0, (), (), (FdName("state"),)), {FdName("state"): state})
        os.close(state)
        assert [each.name for each in collector.totals()] == ["a"]
    assert caplog.messages == [
        "probe 'a': an earlier exporter left spoiled counts (a number is out of range): counts of events "
        "begin anew at 0"
    ]


def test_a_drain_that_finds_many_events_beside_a_full_ring_reads_the_maps(both: Collector) -> None:
    both.drain()
    assert both._probes["a"].readings == 0  # type: ignore[attr-defined]
    both._probes["a"].overflowing = True  # type: ignore[attr-defined]
    both.drain()
    assert [both._probes[name].readings for name in "ab"] == [1, 1]  # type: ignore[attr-defined]


def test_iterators_run_at_a_scrape_alone_and_a_failed_one_costs_its_probe(both: Collector) -> None:
    one, other = (both._probes[name] for name in "ab")
    one.overflowing = True  # type: ignore[attr-defined]
    both.drain()
    both.keep_up()
    assert (one.row_readings, other.row_readings) == (0, 0)  # type: ignore[attr-defined]
    one.broken_rows = True  # type: ignore[attr-defined]
    assert values(both, "probed_probe_collect_failures_total") == {"a": 1, "b": 0}
    assert (one.row_readings, other.row_readings) == (0, 1)  # type: ignore[attr-defined]


def test_a_scrape_begins_between_two_batches_of_a_drain(both: Collector) -> None:
    a, b = (both._probes[name] for name in "ab")
    scraping = threading.Thread(target=both.scrape)
    drains_of_a = list[int]()

    def begin() -> None:
        a.in_pause = lambda: None  # type: ignore[attr-defined]
        scraping.start()
        while both._lock._next < 2:
            pass

    a.in_pause = begin  # type: ignore[attr-defined]
    b.in_pause = lambda: drains_of_a.append(a.drains)  # type: ignore[attr-defined]
    both.drain()
    scraping.join()
    assert drains_of_a == [2, 2]


def test_a_probe_that_leaves_between_two_batches_is_not_drained(both: Collector) -> None:
    a, b = (both._probes[name] for name in "ab")
    removing = threading.Thread(target=both.remove, args=("b",))

    def begin() -> None:
        removing.start()
        while both._lock._next < 2:
            pass

    a.in_pause = begin  # type: ignore[attr-defined]
    both.drain()
    removing.join()
    assert (a.drains, b.drains, b.closed) == (1, 0, True)  # type: ignore[attr-defined]
