# SPDX-License-Identifier: Apache-2.0
"""Memory that an intruder wrote is refused, or shows a page: it never stops the next exporter."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.ledger import MOST, MOST_COUNT, Ledger, SpoiledState
from probed.exporter.bpf.map_deltas import MapDeltas
from probed.exporter.exposition.renderer import Page
from probed.exporter.series.label_store import LabelStore
from probed.exporter.series.values import Counts, Observations
from support.unit.series_tables import events, metric, state, table_in

HEAD, ROOTS = 13, 1 << 12
"""Words of the head, and of one root."""


@pytest.fixture
def fd() -> Iterator[int]:
    with state() as fd:
        yield fd


def committed(fd: int, write: Callable[[Ledger], None]) -> Ledger:
    """Commit numbers as an intruder could; return the ledger of the next exporter."""
    ledger = Ledger(fd, "a")
    write(ledger)
    ledger.commit()
    return Ledger(fd, "a")


def set_scalar(value: int) -> Callable[[Ledger], None]:
    def write(ledger: Ledger) -> None:
        ledger.scalar().value = value

    return write


def test_a_scalar_out_of_range_is_spoiled(fd: int) -> None:
    ledger = committed(fd, set_scalar(MOST + 1))
    with pytest.raises(SpoiledState, match="a number is out of range"):
        ledger.scalar()


def test_an_array_longer_than_its_memory_is_spoiled(fd: int) -> None:
    ledger = committed(fd, set_scalar(8 << 1))
    with pytest.raises(SpoiledState, match="an array has too many rows"):
        ledger.array(7, 1)


def test_more_commits_than_fit_are_spoiled(fd: int) -> None:
    Ledger(fd, "a")
    os.pwrite(fd, (MOST + 1).to_bytes(8, "little"), (HEAD - 1) * 8)
    with pytest.raises(SpoiledState, match="the number of commits"):
        Ledger(fd, "a")


def test_memory_behind_the_last_array_is_given_back(fd: int) -> None:
    ledger = Ledger(fd, "a")
    ledger.array(7, 1)
    size = os.fstat(fd).st_size
    os.ftruncate(fd, 16 * size)
    ledger.trim()
    assert os.fstat(fd).st_size == size


def test_a_count_out_of_range_is_spoiled(fd: int) -> None:
    def write(ledger: Ledger) -> None:
        ledger.array(7, 1).write(3)[2] = MOST_COUNT + 1

    ledger = committed(fd, write)
    with pytest.raises(SpoiledState, match="a count is out of range"):
        Counts(ledger, 7)


@pytest.mark.parametrize(
    ("column", "bits", "fault"),
    [
        (0, MOST_COUNT + 1, "a bucket is out of range"),
        (-1, int(np.float64("nan").view(np.uint64)), "sum is no number"),
        (-1, int(np.float64("-inf").view(np.uint64)), "sum is no number"),
    ],
)
def test_a_histogram_out_of_range_is_spoiled(fd: int, column: int, bits: int, fault: str) -> None:
    of = metric("histogram")

    def write(ledger: Ledger) -> None:
        ledger.array(7, len(of.bounds) + 2).write(3)[2, column] = bits

    ledger = committed(fd, write)
    with pytest.raises(SpoiledState, match=fault):
        Observations(ledger, 7, of)


def test_a_last_count_out_of_range_is_spoiled(fd: int) -> None:
    def write(ledger: Ledger) -> None:
        ledger.array(7, 2).write(1)[0] = 5, MOST_COUNT + 1

    ledger = committed(fd, write)
    with pytest.raises(SpoiledState, match="the last count of a map's key"):
        MapDeltas(ledger, 1, 7)


@pytest.mark.parametrize(
    ("offset", "log_and_used", "record", "fault"),
    [
        (1, (2, 100), b"", "not one of the two"),
        (1, (0, 1 << 20), b"", "log of label sets is too long"),
        (8000, (0, 100), b"", "lies outside of its log"),
        (1, (0, 100), b"\xff\xff\xff\x7f", "longer than its log"),
        (1, (0, 100), b"\x02\0\0\0{}", "a label set is none"),
        (1, (0, 100), b"\x03\0\0\0[1]", "a label set is none"),
        (1, (0, 100), b"\x01\0\0\0\xff", "a label set is none"),
        (1, (0, 100), b'\x0a\0\0\0["\\ud800"]', "a label set is none"),
        (1, (0, 4100), (4000).to_bytes(4, "little") + 4000 * b"[", "a label set is none"),
    ],
)
def test_a_log_of_label_sets_out_of_range_is_spoiled(
    fd: int, offset: int, log_and_used: tuple[int, int], record: bytes, fault: str
) -> None:
    def write(ledger: Ledger) -> None:
        ledger.array(7, 1).write(1)[0] = offset
        ledger.scalar().value, ledger.scalar().value = log_and_used
        ledger.blob(7 * 1024)[: len(record)] = np.frombuffer(record, np.uint8)

    ledger = committed(fd, write)
    with pytest.raises(SpoiledState, match=fault):
        dict(LabelStore(ledger, 7))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ({2: ("a",), 3: ("a",)}, "two rows have one label set"),
        ({2: ("a", "b")}, "another number of labels"),
        ({2: ("other",)}, "the label set of the overflow"),
        ({0: ("a",)}, "a row without a label set of its own"),
    ],
)
def test_label_sets_that_no_table_keeps_are_spoiled(fd: int, rows: dict[int, tuple[str, ...]], fault: str) -> None:
    def write(ledger: Ledger) -> None:
        ledger.scalar()
        texts = LabelStore(ledger, 1001)
        for row, labels in rows.items():
            texts.set(row, labels)

    ledger = committed(fd, write)
    with pytest.raises(SpoiledState, match=fault):
        table_in(ledger, metric())


WORDS = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 1 << 31, MOST_COUNT, MOST, MOST + 1, 1 << 63, (1 << 64) - 1])


@given(st.sampled_from(["counter", "histogram"]), st.lists(st.tuples(st.integers(0, 60), WORDS), max_size=6))
def test_whatever_an_intruder_writes_the_next_exporter_counts(kind: str, written: list[tuple[int, int]]) -> None:
    """The words are those of the head behind the identity, of both roots and of the first rows."""
    first = [
        *range(HEAD - 1, HEAD + 12),
        *range(HEAD + ROOTS, HEAD + ROOTS + 12),
        *range(HEAD + 2 * ROOTS, HEAD + 9000),
    ]
    with state() as fd:
        ledger = Ledger(fd, "a")
        table_in(ledger, metric(kind)).add_events(events([(b"a", 2), (b"b", 3)]))
        ledger.commit()
        for place, word in written:
            os.pwrite(fd, word.to_bytes(8, "little"), first[place] * 8)
        try:
            ledger = Ledger(fd, "a")
            series = table_in(ledger, metric(kind))
        except SpoiledState:
            os.ftruncate(fd, 0)
            ledger = Ledger(fd, "a")
            series = table_in(ledger, metric(kind))
        for _ in range(3):
            series.add_events(events([(b"a", 2), (b"c", 3)]))
            Page().render([series.family()])
            ledger.commit()
