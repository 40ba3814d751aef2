# SPDX-License-Identifier: Apache-2.0
"""CPU time of the exporter for an event, from the ring to the tables, on rings in memory.

Each event is the end of a process and goes into a histogram with three labels, classic and native as shipped.
"""

from __future__ import annotations

import mmap
import os
import time
from contextlib import closing
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure, least
from bench.setup import Setup
from probed.exporter.arrays.dtypes import LENGTH, ring_dtype
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.bpf.ringbuf import Ring
from probed.exporter.collection.probe import BATCH
from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.integers import integer
from probed.exporter.series.table import SeriesTable
from probed.ipc.manifest import Field, Record, ResolvedLabel, ResolvedMetric

CGROUP, COMM, EXIT = Field("cgroup", "u64", 0, 1), Field("comm", "char", 16, 16), Field("exit", "u16", 54, 1)
FIELDS = (
    CGROUP, Field("lifetime_ns", "u64", 8, 1), COMM, Field("parent", "char", 32, 16), Field("errno", "u32", 48, 1),
    Field("kind", "u16", 52, 1), EXIT,
)  # fmt: skip
EVENT = Record(56, FIELDS)
"""struct event of probes/process."""

BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 300, 3600)
SCHEMA: Final = 3
RING_BYTES: Final = 1 << 22
WAITING: Final = (1, 16, 256, 4_096, 65_536)
LABEL_SETS: Final = (1, 100, 1_000)
EVENTS: Final = 1 << 17
"""Least number of events in a round."""


def measure(setup: Setup) -> list[Figure]:
    """Return the CPU time for an event, by label sets and by events waiting at each drain."""
    figures = []
    for sets, waiting in product(LABEL_SETS, WAITING):
        drains = 4 if setup.short else max(4, min(4_000, EVENTS // waiting))
        with closing(_Drain(sets)) as drain:
            found = drain.times(waiting, drains, setup.rounds(5))
        about = f"drain, {sets:,} label sets, {waiting:,} waiting"
        figures.append(least(about, "ns an event", found))
    return figures


class _Drain:
    """A full ring with a producer position set by hand, and the table for its events."""

    def __init__(self, sets: int) -> None:
        self._events = RING_BYTES // ring_dtype(EVENT).itemsize
        self._consumer = mmap.mmap(-1, mmap.PAGESIZE)
        self._producer = mmap.mmap(-1, mmap.PAGESIZE + 2 * RING_BYTES)
        self._produced = np.frombuffer(self._producer, np.uint64, 1)
        self._fill(sets)
        self._ring = Ring(self._consumer, self._producer, RING_BYTES, EVENT)
        self._state = os.memfd_create("state")
        self._ledger = Ledger(self._state, "bench")
        self._table = _table(self._ledger)

    def _fill(self, sets: int) -> None:
        kinds = ring_dtype(EVENT)
        data = np.frombuffer(self._producer, np.uint8, 2 * RING_BYTES, mmap.PAGESIZE)
        records = data[: 2 * RING_BYTES // kinds.itemsize * kinds.itemsize].view(kinds)
        random = np.random.default_rng(1)
        of = random.integers(0, sets, len(records))
        records[LENGTH] = EVENT.size
        records["cgroup"] = of
        records["comm"] = _names(of)
        records["lifetime_ns"] = random.integers(1_000_000, 10_000_000_000, len(records))

    def times(self, waiting: int, drains: int, rounds: int) -> list[float]:
        """Return the nanoseconds for an event in each round, after an uncounted round for new keys."""
        return [self._time(waiting, drains) for _ in range(rounds + 1)][1:]

    def _time(self, waiting: int, drains: int) -> float:
        spent = taken = 0
        for _ in range(drains):
            self._produced[0] += np.uint64(waiting * self._ring.stride)
            start = time.thread_time_ns()
            taken += self._drain(self._ring.records + waiting)
            spent += time.thread_time_ns() - start
        return spent / taken

    def _drain(self, end: int) -> int:
        """Drain the ring as RunningProbe.drain does."""
        ring, taken = self._ring, 0
        while ring.records < end:
            events = ring.batch(min(BATCH, end - ring.records))
            self._table.add_events(events)
            taken += len(events)
            self._ledger.commit()
            ring.release()
        return taken

    def close(self) -> None:
        """Free the memory for counts."""
        os.close(self._state)


def _names(of: NDArray[Any]) -> NDArray[Any]:
    return np.char.add("program-", (of % 100).astype("U4")).astype("S16").astype("V16")


def _table(ledger: Ledger) -> SeriesTable:
    labels = (
        ResolvedLabel("unit", "cgroup", "integer", {}),
        ResolvedLabel("comm", "comm", "comm", {}),
        ResolvedLabel("exit", "exit", "integer", {}),
    )
    metric = ResolvedMetric(
        "probed_lifetime_seconds",
        "histogram",
        "Lifetimes.",
        (),
        {"kind": 0},
        labels,
        "lifetime_ns",
        1e-9,
        BOUNDS,
        1_001,
        schema=SCHEMA,
    )
    return SeriesTable(metric, [(CGROUP, integer), (COMM, text), (EXIT, integer)], ledger)
