# SPDX-License-Identifier: Apache-2.0
"""Series tables over events of a name and a value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.decoders import decoder
from probed.exporter.exposition.family import Family
from probed.exporter.series.table import SeriesTable
from probed.ipc.manifest import Field, Record, ResolvedLabel, ResolvedMetric
from support.unit.clock import Clock

FIELDS = (Field("value_ns", "u64", 0, 1), Field("name", "char", 8, 16), Field("kind", "u32", 24, 1))
EVENT = Record(28, FIELDS)
BOUNDS = (1e-9, 1e-6)

Decode = Callable[[int | bytes], str | None]


def events(of: Iterable[bytes | str | tuple[bytes | str, int]]) -> NDArray[Any]:
    """Return a batch of names, each with a value or 0."""
    pairs = [each if isinstance(each, tuple) else (each, 0) for each in of]
    batch = np.zeros(len(pairs), dtype(EVENT))
    names = [name.encode() if isinstance(name, str) else name for name, _ in pairs]
    batch["name"] = np.frombuffer(b"".join(name.ljust(16, b"\0") for name in names), "V16")
    batch["value_ns"] = [value for _, value in pairs]
    return batch


class CountMapOfTest:
    """A kernel map of counts by name; `content` is set by the test."""

    def __init__(self) -> None:
        self.content: dict[str, int] = {}
        self.last_keys = events([])

    def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        self.last_keys = events(self.content)
        return self.last_keys, np.array(list(self.content.values()), np.uint64)

    def delete(self, keys: NDArray[Any]) -> None:
        """Delete nothing: the key has no control group."""


def metric(
    kind: str = "counter",
    *,
    budget: int = 1000,
    idle: float = 3600.0,
    labels: bool = True,
    schema: int | None = None,
) -> ResolvedMetric:
    """Return a metric with the label `name`, or with none; a histogram with `schema` is native too."""
    of = (ResolvedLabel("name", "name", "comm", {}),) if labels else ()
    value, factor, bounds = ("value_ns", 1e-9, BOUNDS) if kind == "histogram" else (None, 1.0, ())
    return ResolvedMetric("probed_x_total", kind, "Help.", (), {}, of, value, factor, bounds, budget, idle, schema)  # type: ignore[arg-type]


def series_of_each(kind: str) -> int:
    """Return the number of series of a label set: a histogram has its buckets, +Inf, `_sum` and `_count`."""
    return len(BOUNDS) + 3 if kind == "histogram" else 1


def table(of: ResolvedMetric, clock: Clock | None = None, decode: Decode | None = None) -> SeriesTable:
    """Return the metric's table; `decode` replaces the decoder of its label."""
    return table_in(ledger(), of, clock, decode)


def table_in(
    memory: Ledger,
    of: ResolvedMetric,
    clock: Clock | None = None,
    decode: Decode | None = None,
    since: Callable[[], float] = lambda: 1.0,
) -> SeriesTable:
    """Return the metric's table in a ledger that earlier tables may have used."""
    columns: list[tuple[Field, Decode]] = [(FIELDS[1], decode or decoder(label)) for label in of.labels]
    return SeriesTable(of, columns, memory, clock or Clock(), since)


@contextmanager
def state() -> Iterator[int]:
    """Yield a memfd for ledgers."""
    fd = os.memfd_create("state")
    try:
        yield fd
    finally:
        os.close(fd)


def ledger() -> Ledger:
    """Return a fresh ledger."""
    with state() as fd:
        return Ledger(fd, "x")  # the mapping outlives the descriptor


def shown(family: Family) -> dict[str, int]:
    """Return the values on a counter's page by name."""
    assert len(set(family.labels)) == len(family.labels)
    return {labels[0]: int(value) for labels, value in zip(family.labels, family.values, strict=True)}


def observed(family: Family) -> dict[str, tuple[list[int], float]]:
    """Return buckets and sum on a histogram's page by name."""
    assert len(set(family.labels)) == len(family.labels)
    rows = zip(family.labels, family.buckets.tolist(), family.sums.tolist(), strict=True)
    return {labels[0]: (buckets, total) for labels, buckets, total in rows}
