# SPDX-License-Identifier: Apache-2.0
"""One running probe, on a ring made of bytes: a failed step costs no event and doubles none."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from probed.exporter.bpf.ringbuf import Ring
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.collection import probe, stats_map
from probed.exporter.collection.probe import RunningProbe
from probed.exporter.decoders import Context
from probed.exporter.series.table import SeriesTable
from probed.ipc.manifest import FdName, LoadedProbe
from support.unit.series_tables import EVENT, metric

SIZE = 4096
RECORD = 40
"""Bytes of a record: header and event, rounded up to 8."""


class FilledRing:
    """A ring with so many records of the event, each with the name `a`."""

    def __init__(self, records: int) -> None:
        self._consumer = mmap.mmap(-1, mmap.PAGESIZE)
        self._producer = mmap.mmap(-1, mmap.PAGESIZE + 2 * SIZE)
        body = EVENT.size.to_bytes(4, "little") + bytes(4) + (7).to_bytes(8, "little") + b"a"
        for number in range(records):
            at = mmap.PAGESIZE + number * RECORD
            self._producer[at : at + len(body)] = body
        self._producer[:8] = (records * RECORD).to_bytes(8, "little")

    def map(self, *_: Any) -> Ring:
        return Ring(self._consumer, self._producer, SIZE, EVENT)


class NoCounts:
    def __init__(self, *_: Any) -> None: ...

    def read(self) -> tuple[Any, Any]:
        return np.zeros(0, [("key", "u4")]), np.zeros(0, np.uint64)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningProbe]:
    """Yield a probe with two counters and 13 waiting records."""
    monkeypatch.setattr(Ring, "map", FilledRing(13).map)
    monkeypatch.setattr(stats_map, "CountMap", NoCounts)
    names = (FdName("stats"), FdName("state"), FdName("ring"))
    loaded = LoadedProbe("a", "1", EVENT, SIZE, (), (metric(), metric()), names)
    fds = {name: os.memfd_create("of a test") for name in names}
    yield RunningProbe(loaded, fds, 1, Context(lambda _: Attribution("kernel", "")))
    for fd in fds.values():
        os.close(fd)


def counts(of: RunningProbe) -> list[int]:
    return [int(table._values._counts.read().sum()) for _, table in of._tables._counts]  # type: ignore[attr-defined]


def test_a_batch_that_fails_halfway_counts_once_when_the_probe_is_renewed(
    running: RunningProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = SeriesTable.add_events, list[SeriesTable]()

    def fail_in_the_second_table(self: SeriesTable, *arguments: Any) -> None:
        calls.append(self)
        if len(calls) == 2:
            raise MemoryError
        add(self, *arguments)

    monkeypatch.setattr(SeriesTable, "add_events", fail_in_the_second_table)
    with pytest.raises(MemoryError):
        running.drain(running.waiting())
    assert counts(running) == [13, 0]
    renewed = running.renewed()
    assert counts(renewed) == [0, 0]
    assert renewed.drain(renewed.waiting())
    assert counts(renewed) == [13, 13]
    numbers = renewed._numbers(0)
    assert (numbers.delivered, numbers.discarded, numbers.ring_records) == (13, 0, 13)
    assert counts(renewed.renewed()) == [13, 13]


def test_a_drain_tells_the_time_at_which_its_end_was_read(
    running: RunningProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may read a later end meanwhile."""
    times = iter([1_000, 2_000])
    monkeypatch.setattr(probe.time, "time_ns", lambda: next(times))  # type: ignore[attr-defined]
    end = running.waiting()
    running._ring._producer[0] += RECORD  # type: ignore[union-attr]
    assert running.waiting() == end + 1
    running.drain(end)
    assert running._drained_ns.value == 1_000
    running.drain(end + 1)
    assert running._drained_ns.value == 2_000
