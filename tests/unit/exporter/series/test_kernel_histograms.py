# SPDX-License-Identifier: Apache-2.0
"""Series of a histogram from increments of a kernel map of buckets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ledger import Ledger
from probed.exporter.series.table import SeriesTable
from probed.ipc.manifest import BUCKET_FIELD, Field, Record
from support.unit.series_tables import BOUNDS, metric, observed, state, table, table_in

KEY = Record(24, (Field("name", "char", 0, 16), Field(BUCKET_FIELD, "u32", 16, 1)))
HISTOGRAM = dataclasses.replace(metric("histogram"), maps=("values_ns",), value=None)

Increment = tuple[str, int, int, int]
"""Name, number of the bucket, sum and count."""


def add(series: SeriesTable, increments: Iterable[Increment]) -> None:
    increments = list(increments)
    keys = np.zeros(len(increments), dtype(KEY))
    keys["name"] = np.frombuffer(b"".join(name.encode().ljust(16, b"\0") for name, *_ in increments), "V16")
    keys[BUCKET_FIELD] = [number for _, number, _, _ in increments]
    by = np.array([both for _, _, *both in increments], np.int64).reshape(len(increments), 2)
    series.add_counts([(keys, by)])


def test_counts_go_into_the_buckets_that_the_kernel_found_and_sums_into_base_units() -> None:
    series = table(HISTOGRAM)
    add(series, [("a", 0, 3, 5), ("a", 1, 700, 11), ("b", 1, 999, 1)])
    add(series, [("a", 1, 41, 2)])
    assert observed(series.family()) == {"a": ([5, 13, 0], 744 * 1e-9), "b": ([0, 1, 0], 999 * 1e-9)}


def test_numbers_beyond_the_last_bound_are_of_the_bucket_inf() -> None:
    series = table(HISTOGRAM)
    add(series, [("a", len(BOUNDS), 2_000, 1), ("a", 64, 2**40, 3), ("a", 2**32 - 1, 2**41, 7)])
    assert observed(series.family()) == {"a": ([0, 0, 11], (2_000 + 2**40 + 2**41) * 1e-9)}


def test_a_histogram_without_labels_has_one_series_from_the_start() -> None:
    series = table(dataclasses.replace(HISTOGRAM, labels=()))
    assert series.family().buckets.tolist() == [[0, 0, 0]]
    add(series, [("a", 0, 1, 1), ("b", 2, 7_919, 2)])
    assert (series.family().buckets.tolist(), series.family().sums.tolist()) == ([[1, 0, 2]], [7_920 * 1e-9])


def test_label_sets_over_the_budget_count_in_other_with_their_sums() -> None:
    series = table(dataclasses.replace(HISTOGRAM, budget=2))
    add(series, [("light", 0, 1, 1), ("heavy", 1, 500, 50), ("heavy", 2, 90_000, 40), ("small", 2, 4_001, 2)])
    assert observed(series.family()) == {
        "heavy": ([0, 50, 40], 90_500 * 1e-9), "other": ([1, 0, 2], 4_002 * 1e-9),
    }  # fmt: skip


def test_a_sum_that_is_read_after_its_count_comes_with_the_next_reading() -> None:
    series = table(HISTOGRAM)
    add(series, [("a", 1, 0, 1)])
    assert observed(series.family()) == {"a": ([0, 1, 0], 0.0)}
    add(series, [("a", 1, 700, 0)])
    assert observed(series.family()) == {"a": ([0, 1, 0], 700 * 1e-9)}


names = st.sampled_from(["a", "b", "c", "d"])
increments = st.lists(st.tuples(names, st.integers(0, 5), st.integers(0, 2**40), st.integers(1, 9)), max_size=9)


@given(st.lists(increments, max_size=5), st.integers(1, 5))
def test_nothing_is_lost_over_restarts(batches: list[list[Increment]], budget: int) -> None:
    of = dataclasses.replace(HISTOGRAM, budget=budget)
    buckets, total = [0, 0, 0], 0
    with state() as fd:
        for batch in batches:
            memory = Ledger(fd, "x")
            series = table_in(memory, of)
            add(series, batch)
            memory.commit()
            add(series, batch)  # dies before the commit
            for _, number, by, times in batch:
                buckets[min(number, 2)] += times
                total += by
        family = table_in(Ledger(fd, "x"), of).family()
    assert family.buckets.sum(axis=0).tolist() == buckets
    assert round(family.sums.sum() * 1e9) == total
    assert len(family.labels) <= budget
