# SPDX-License-Identifier: Apache-2.0
"""A ledger keeps all of a commit or nothing, at whichever line the process died."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.ledger import MOST, Ledger
from probed.exporter.bpf.map_deltas import MapDeltas
from probed.exporter.exposition.family import Family
from probed.exporter.histograms import native_buckets
from probed.exporter.series.label_store import ROOM, LabelStore
from support.unit.clock import Clock
from support.unit.series_tables import events, metric, observed, shown, state, table_in


@pytest.fixture
def fd() -> Iterator[int]:
    with state() as fd:
        yield fd


def test_what_was_written_counts_from_the_commit_on(fd: int) -> None:
    ledger = Ledger(fd, "a")
    number, array = ledger.scalar(), ledger.array(7, 2)
    number.value = MOST
    array.write(3)[2] = (5, 6)
    again = Ledger(fd, "a")
    assert (again.scalar().value, len(again.array(7, 2))) == (0, 0)
    ledger.commit()
    again = Ledger(fd, "a")
    assert again.scalar().value == MOST
    assert again.array(7, 2).read().tolist() == [[0, 0], [0, 0], [5, 6]]


def test_rows_that_come_back_into_use_are_0(fd: int) -> None:
    ledger = Ledger(fd, "a")
    array = ledger.array(7, 1)
    array.write(3)[:] = 5
    ledger.commit()
    array.write(3)
    array.resize(1)
    ledger.commit()
    assert array.write(3)[:, 0].tolist() == [5, 0, 0]


def test_memory_of_another_identity_begins_anew(fd: int) -> None:
    ledger = Ledger(fd, "a")
    ledger.scalar().value = 5
    ledger.commit()
    other = Ledger(fd, "b")
    assert (other.commits, other.scalar().value) == (0, 0)
    assert Ledger(fd, "a").commits == 0


def test_an_array_larger_than_a_chunk_has_one_of_its_own(fd: int) -> None:
    ledger = Ledger(fd, "a")
    small, large, last = ledger.array(1, 1), ledger.array(5_000_000, 2), ledger.array(1, 1)
    for array in (small, large, last):
        array.write(1)[0] = 7
    large.write(5_000_000)[-1] = 8
    ledger.commit()
    again = Ledger(fd, "a")
    assert [again.array(rows, columns).read()[-1].tolist() for rows, columns in ((1, 1), (5_000_000, 2), (1, 1))] == [
        [7], [8, 8], [7],
    ]  # fmt: skip


@given(st.lists(st.dictionaries(st.integers(0, 6), st.text(max_size=700) | st.none(), max_size=7), max_size=12))
def test_label_sets_are_as_they_were_committed(steps: list[dict[int, str | None]]) -> None:
    """The longest label sets do not all fit: kept ones are right, rows of the others have none."""
    kept: dict[int, str] = {}
    with state() as fd:
        ledger = Ledger(fd, "a")
        texts = LabelStore(ledger, 7)
        for step in steps:
            for row, text in step.items():
                if text is None:
                    texts.drop(row)
                    kept.pop(row, None)
                else:
                    texts.set(row, (text, "x"))
                    kept[row] = text
            ledger.commit()
            found = dict(LabelStore(Ledger(fd, "a"), 7))
            assert found == {row: (kept[row], "x") for row in found}
            assert sum(map(len, kept.values())) > ROOM // 12 or found.keys() == kept.keys()


def test_a_full_log_is_tidied(fd: int) -> None:
    ledger = Ledger(fd, "a")
    texts = LabelStore(ledger, 2)
    texts.set(0, ("stays",))
    for number in range(10_007):
        texts.set(1, (f"comes and goes {number}",))
        ledger.commit()
    assert dict(LabelStore(Ledger(fd, "a"), 2)) == {0: ("stays",), 1: ("comes and goes 10006",)}


def test_a_row_whose_label_set_could_not_be_kept_is_other(fd: int) -> None:
    ledger = Ledger(fd, "a")
    before = table_in(ledger, metric("histogram", budget=3), decode=lambda name: str(name) * 1000)
    before.add_events(events([(b"a", 2), (b"b", 3), (b"b", 4)]))
    ledger.commit()
    series = table_in(Ledger(fd, "a"), metric("histogram", budget=3))
    page = observed(series.family())
    assert page.keys() == {"other"}
    buckets, total = page["other"]
    assert buckets == [0, 3, 0]
    assert total == pytest.approx(9e-9)
    assert series.usage().overflowed == 3


def test_kernel_counts_go_on_from_what_was_read(fd: int) -> None:
    ledger = Ledger(fd, "a")
    increments = MapDeltas(ledger, 1, 64)
    increments.since(np.array([[3, 4]], np.uint64), np.array([10, 20], np.uint64))
    ledger.commit()
    increments.since(np.array([[3, 4]], np.uint64), np.array([1000, 2000], np.uint64))  # never committed
    risen, by = MapDeltas(Ledger(fd, "a"), 1, 64).since(np.array([[4, 5]], np.uint64), np.array([27, 1], np.uint64))
    assert dict(zip(risen.tolist(), by.tolist(), strict=True)) == {0: 7, 1: 1}


# Death at every line.


def native(family: Family) -> Any:
    """Return schema, zero count and buckets of each series."""
    of = family.native
    assert of is not None
    buckets = [each.tolist() for each in (of.positive.series, of.positive.indexes, of.positive.counts)]
    return of.schemas.tolist(), of.zeros.tolist(), buckets


class Probe:
    """Two tables and a position, counted and committed as a probe does it."""

    def __init__(self, fd: int, clock: Clock) -> None:
        self.ledger = Ledger(fd, "a")
        self.position = self.ledger.scalar()
        metrics = metric(budget=4, idle=100), metric("histogram", budget=4, idle=100, schema=8)
        self.tables = [table_in(self.ledger, each, clock) for each in metrics]

    def add(self, names: list[str]) -> None:
        for table in self.tables:
            # Values apart, and few buckets a row: the resolution of a row is halved.
            table.add_events(events([(name, 3**number) for number, name in enumerate(names)]))
        self.position.value += len(names)
        self.ledger.commit()

    def collect(self) -> None:
        for table in self.tables:
            table.family()
        self.ledger.commit()

    def page(self) -> Any:
        """Return all shown numbers, without committing the changes made by `family`."""
        counter, histogram = (table.family() for table in self.tables)
        numbers = shown(counter), observed(histogram), native(histogram)
        return self.position.value, *numbers, [table.expired for table in self.tables]


def content(fd: int) -> list[tuple[int, bytes]]:
    """Return the parts of a sparse file with data, by offset."""
    parts, at, size = [], 0, os.fstat(fd).st_size
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: none from here on
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        parts.append((start, os.pread(fd, at - start, start)))
    return parts


@contextmanager
def copy_of(parts: list[tuple[int, bytes]]) -> Iterator[int]:
    with state() as fd:
        for at, data in parts:
            os.pwrite(fd, data, at)
        yield fd


def at_every_line(act: Callable[[], None], look: Callable[[], None]) -> None:
    """Call `look` before every line of the exporter's modules that `act` runs."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if "probed/exporter" not in frame.f_code.co_filename and event == "call":
            return None
        look()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)


def after_death(parts: list[tuple[int, bytes]], now: float) -> Any:
    clock = Clock()
    clock.now = now
    with copy_of(parts) as fd:
        return Probe(fd, clock).page()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (["a", "a", "b"], 0),  # new rows, and known rows
        (["e", "f", "g", "h", "a"], 0),  # some find no row
        ([], 50),  # heavy waiting label sets take rows
        ([], 200),  # everything is idle
    ],
)
def test_a_death_at_any_line_leaves_all_of_a_step_or_nothing(
    fd: int, names: list[str], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_buckets, "MOST_BUCKETS", 3)
    clock = Clock()
    probe = Probe(fd, clock)
    probe.add(["a", "b", "c"])
    probe.add(["z"] * 7 + ["b"] * 2)
    clock.now += seconds + (20 if seconds else 0)
    if not names:
        probe.collect()  # the page with the last values of leaving rows
    snapshots: list[list[tuple[int, bytes]]] = [content(fd)]
    at_every_line((lambda: probe.add(names)) if names else probe.collect, lambda: snapshots.append(content(fd)))
    snapshots.append(content(fd))
    pages = [after_death(parts, clock.now) for parts in snapshots]
    assert len(pages) > 50
    first, last = pages[0], pages[-1]
    assert first != last
    switch = pages.index(last)
    assert pages == [first] * switch + [last] * (len(pages) - switch)


MOST_KEYS = 1 << 14


def test_the_keys_of_a_full_map_fit(fd: int) -> None:
    ledger = Ledger(fd, "a")
    keys = np.arange(MOST_KEYS, dtype=np.uint64)[np.newaxis]
    MapDeltas(ledger, 1, MOST_KEYS).since(keys, keys[0] + np.uint64(1))
    ledger.commit()
    again, by = MapDeltas(Ledger(fd, "a"), 1, MOST_KEYS).since(keys, keys[0] + np.uint64(2))
    assert again.tolist() == list(range(MOST_KEYS))
    assert set(by.tolist()) == {1}
