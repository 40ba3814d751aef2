# SPDX-License-Identifier: Apache-2.0
"""Series tables, held against a reference that counts event by event, budget and all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, log2
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.bpf.cgroup_keys import KnownCgroups
from probed.exporter.bpf.map_reader import CountMap
from probed.exporter.bpf.map_source import MapSource
from probed.exporter.decoders import decoder
from probed.exporter.exposition.family import Family
from probed.exporter.series import budget as budget_module
from probed.exporter.series import table as series_module
from probed.exporter.series.budget import FACTOR, WINDOW_SECONDS
from probed.exporter.series.table import SeriesTable, SeriesUsage
from probed.exporter.series.weights import Weights
from probed.ipc.manifest import Field, Map, Record, ResolvedLabel, ResolvedMetric
from support.unit.clock import Clock
from support.unit.series_reference import Reference
from support.unit.series_tables import (
    BOUNDS,
    FIELDS,
    CountMapOfTest,
    events,
    ledger,
    metric,
    observed,
    series_of_each,
    shown,
    table,
)

WAITING = 8
IDLE = 100.0

# Two keys of one label set, a dropped key, a key named other, and some more.
names = st.sampled_from(
    [b"a", b"a\0x", b"b", b"c", b"drop1", b"drop2", b"other", rb"\other", b"\xff", rb"\xff", b""]
) | st.integers(0, 40).map(lambda n: b"n%d" % n)
events_of_a_name = st.tuples(names, st.integers(0, 2**40), st.integers(1, 8)).map(lambda of: [of[:2]] * of[2])
batches = st.lists(events_of_a_name, max_size=8).map(lambda runs: [event for run in runs for event in run])
scrapes = st.sampled_from([0.0, 1.0, *[WINDOW_SECONDS] * 4, 2 * IDLE])
steps = st.lists(batches | scrapes, max_size=40)
"""A batch of names and values, or a scrape after so many seconds."""


def dropping(value: int | bytes) -> str | None:
    text = decoder(ResolvedLabel("name", "name", "comm", {}))(value)
    return None if text is None or text.startswith("drop") else text


def expected_labels(name: bytes) -> tuple[str, ...] | None:
    text = dropping(name)
    # The decoder doubles backslashes, so its `\\other` cannot be a name's.
    return None if text is None else (rf"\{text}" if text.lstrip("\\") == "other" else text,)


@contextmanager
def little_memory() -> Iterator[None]:
    """Let few label sets wait, and few keys be remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_module, "LEAST_WAITING", WAITING)
        patch.setattr(series_module, "LEAST_KEYS", 4)
        yield


def buckets_of(values: list[int]) -> list[int]:
    buckets = Counter(sum(value > round(bound * 1e9) for bound in BOUNDS) for value in values)
    return [buckets[bucket] for bucket in range(len(BOUNDS) + 1)]


SCHEMA = 3
ZERO_INDEX = -(10**6)
"""The zero bucket among the indexes."""


def native_of(family: Family) -> dict[str, Counter[int]]:
    """Return the counts of native buckets by name and index."""
    native = family.native
    assert native is not None
    counts = [Counter({ZERO_INDEX: int(zeros)} if zeros else {}) for zeros in native.zeros]
    for series, index, count in zip(
        native.positive.series, native.positive.indexes, native.positive.counts, strict=True
    ):
        counts[series][int(index)] = int(count)
    assert set(native.schemas.tolist()) <= {SCHEMA}
    return {labels[0]: each for labels, each in zip(family.labels, counts, strict=True)}


def native_buckets_of(values: list[int]) -> Counter[int]:
    return Counter(ZERO_INDEX if value == 0 else ceil(log2(value * 1e-9) * 2**SCHEMA) for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["counter", "histogram"])
@settings(max_examples=300)
@given(budget=st.integers(1, 6), steps=steps)
def test_tables_agree_with_counting_event_by_event(kind: str, budget: int, steps: list[object]) -> None:
    with little_memory():
        clock = Clock()
        schema = SCHEMA if kind == "histogram" else None
        series = table(metric(kind, budget=budget, idle=IDLE, schema=schema), clock, dropping)
        waiting = max(WAITING, 4 * (budget - 1))
        reference = Reference(clock, rows=budget - 1, waiting=waiting, idle=IDLE, window=WINDOW_SECONDS, factor=FACTOR)
        for step in [*steps, 0.0]:
            if isinstance(step, list):
                series.add_events(events(step))
                reference.add([(expected_labels(name), value) for name, value in step])
                continue
            clock.now += float(str(step))
            page, family = reference.scrape(), series.family()
            if kind == "counter":
                assert shown(family) == {labels[0]: len(values) for labels, values in page.items()}
            else:
                assert {name: buckets for name, (buckets, _) in observed(family).items()} == {
                    labels[0]: buckets_of(values) for labels, values in page.items()
                }
                for name, (_, total) in observed(family).items():
                    assert total == sum(page[name,]) * 1e-9
                assert native_of(family) == {labels[0]: native_buckets_of(values) for labels, values in page.items()}
            each = series_of_each(kind)
            assert series.usage() == SeriesUsage(
                "probed_x_total", each * len(page), each * budget, reference.overflowed, reference.expired
            )
            assert series.expired == reference.expired


@pytest.mark.slow
@settings(max_examples=300)
@given(budget=st.integers(1, 6), steps=steps)
def test_nothing_is_lost_and_nothing_falls(budget: int, steps: list[object]) -> None:
    with little_memory():
        clock = Clock()
        series = table(metric(budget=budget, idle=IDLE), clock, dropping)
        exact: Counter[tuple[str, ...] | None] = Counter()
        before: dict[str, int] = {}
        for step in [*steps, 0.0]:
            if isinstance(step, list):
                series.add_events(events(step))
                exact.update(expected_labels(name) for name, _ in step)
                continue
            clock.now += float(str(step))
            now = shown(series.family())
            assert len(now) <= budget
            assert sum(now.values()) + series.expired == exact.total() - exact[None]
            assert all(now[name] >= before[name] for name in now.keys() & before.keys())
            assert all(now[name] <= exact[name,] for name in now if name != "other")
            assert ("other" in now) == (series.usage().overflowed > 0)
            assert now.get("other", 0) >= series.usage().overflowed
            before = now


LABELS = (
    ResolvedLabel("comm", "comm", "comm", {}),
    ResolvedLabel("errno", "errno", "errno", {}),
    ResolvedLabel("delta", "delta", "integer", {}),
)
SEVERAL = (
    Field("comm", "char", 0, 16),
    Field("errno", "u32", 16, 1),
    Field("delta", "s16", 20, 1),
    Field("kind", "u8", 22, 1),
)


@given(
    st.lists(
        st.lists(
            st.tuples(st.binary(max_size=16), st.integers(0, 5), st.integers(-3, 3), st.integers(0, 2)), max_size=40
        ),
        max_size=4,
    )
)
def test_several_labels_and_a_condition_agree_with_counting_event_by_event(
    data: list[list[tuple[bytes, int, int, int]]],
) -> None:
    of = ResolvedMetric("probed_x_total", "counter", "Help.", (), {"kind": 1}, LABELS, None, 1.0, ())
    decoders = tuple(map(decoder, LABELS))
    series = SeriesTable(of, list(zip(SEVERAL[:3], decoders, strict=True)), ledger())
    exact: Counter[tuple[str | None, ...]] = Counter()
    for batch in data:
        array = np.zeros(len(batch), dtype(Record(24, SEVERAL)))
        for at, (comm, errno, delta, kind) in enumerate(batch):
            array[at] = (np.void(comm.ljust(16, b"\0")), errno, delta, kind)
            if kind == 1:
                values: list[int | bytes] = [comm, errno, delta]
                exact[tuple(decode(value) for decode, value in zip(decoders, values, strict=True))] += 1
        series.add_events(array)
    family = series.family()
    assert dict(zip(family.labels, family.values.tolist(), strict=True)) == exact


weighted = st.lists(st.tuples(names, st.integers(0, 2**20), st.integers(1, 2**20)), max_size=20)


@settings(max_examples=60)
@given(kind=st.sampled_from(["counter", "histogram"]), batch=weighted)
def test_an_event_with_a_weight_counts_as_so_many_events(kind: str, batch: list[tuple[bytes, int, int]]) -> None:
    series = table(metric(kind, budget=4))
    series.add_events(events(each[:2] for each in batch), Weights(np.array([each[2] for each in batch], np.int64)))
    family = series.family()
    if kind == "counter":
        assert sum(shown(family).values()) == sum(times for _, _, times in batch)
        return
    found = observed(family).values()
    assert sum(sum(buckets) for buckets, _ in found) == sum(times for _, _, times in batch)
    assert sum(total for _, total in found) == pytest.approx(sum(value * times for _, value, times in batch) * 1e-9)


def test_the_keys_with_the_greatest_weights_have_the_rows() -> None:
    series = table(metric(budget=3))
    names = ["a", "b", "c", "d"]
    series.add_events(events(names), Weights(np.array([1, 1_000_003, 2, 97], np.int64)))
    assert shown(series.family()) == {"b": 1_000_003, "d": 97, "other": 3}


@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_events_without_their_labels_count_as_other(kind: str) -> None:
    series = table(metric(kind, budget=3))
    series.add_events(events(["a"]), Weights(np.array([2], np.int64)))
    series.add_events(events([("", 7)]), Weights(np.array([97], np.int64), are_others=True))
    family = series.family()
    counts = family.values if kind == "counter" else family.buckets.sum(axis=1)
    assert dict(zip(family.labels, counts.tolist(), strict=True)) == {("a",): 2, ("other",): 97}
    assert series.usage().overflowed == 97


def test_a_remainder_belongs_to_the_observed_member_alone() -> None:
    """Three values of about 992 ns: the mean decides on the bucket, and the sum is exact."""
    batch, times = events([("a", 992), ("b", 992)]), np.array([3, 3], np.int64)
    remainders = np.array([3 * 10, 3 * 10], np.int64)
    of_value, of_another = (dtype_offset(name) for name in ("value_ns", "kind"))
    series = table(metric("histogram"))
    series.add_events(batch, Weights(times, np.array([of_value, of_another]), remainders))
    found = observed(series.family())
    assert {name: buckets for name, (buckets, _) in found.items()} == {"a": [0, 0, 3], "b": [0, 3, 0]}
    assert [found[name][1] for name in "ab"] == pytest.approx([3 * 1002e-9, 3 * 992e-9])


def dtype_offset(name: str) -> int:
    return next(field.offset for field in FIELDS if field.name == name)


def test_a_value_equal_to_the_bound_is_in_the_bucket() -> None:
    series = table(metric("histogram", labels=False))
    series.add_events(events([("", 1), ("", 2), ("", 1000), ("", 1001)]))
    assert series.family().buckets.tolist() == [[1, 2, 1]]


def test_a_metric_without_labels_is_there_before_the_first_event_and_for_ever() -> None:
    clock = Clock()
    series = table(metric(labels=False, budget=1, idle=1.0), clock)
    assert (series.family().labels, series.family().values.tolist()) == (((),), [0])
    clock.now += 1e6
    series.add_events(events(["a", "b"]))
    assert series.family().values.tolist() == [2]
    clock.now += 1e6
    assert series.family().values.tolist() == [2]
    assert series.usage() == SeriesUsage("probed_x_total", 1, 1, 0)


def test_keys_that_say_the_same_share_one_series() -> None:
    series = table(metric())
    series.add_events(events([b"bash\0one", b"bash\0two", b"bash"]))
    assert shown(series.family()) == {"bash": 3}


def test_a_family_does_not_change_afterwards() -> None:
    series = table(metric())
    series.add_events(events(["a"]))
    family = series.family()
    series.add_events(events(["a", "b"]))
    assert shown(family) == {"a": 1}


def test_a_key_is_decoded_once_also_when_it_is_dropped_or_waits() -> None:
    asked: list[int | bytes] = []

    def decode(value: int | bytes) -> str | None:
        asked.append(value)
        return dropping(value)

    series = table(metric(budget=2), decode=decode)
    for _ in range(3):
        series.add_events(events(["a", "a", "drop", "b", "drop", "c"]))
    assert len(asked) == 4
    assert shown(series.family()) == {"a": 6, "other": 6}


def test_a_dropped_event_is_counted_nowhere() -> None:
    series = table(metric("histogram"), decode=dropping)
    series.add_events(events([("drop1", 5), ("drop2", 7)]))
    assert series.family().labels == ()
    series.add_events(events([("drop1", 5), ("a", 8)]))
    assert observed(series.family()) == {"a": ([0, 1, 0], 8e-9)}
    assert (series.usage().overflowed, series.expired) == (0, 0)


class CountMaps:
    """Maps of counts by name, and their sources."""

    def __init__(self, maps: int = 1) -> None:
        self._maps = [CountMapOfTest() for _ in range(maps)]
        layout = Map("names", "percpu_hash", Record(28, FIELDS[1:2]), 1 << 14)
        self._sources = [
            MapSource(cast(CountMap, each), layout, ledger(), KnownCgroups(set, lambda _: None)) for each in self._maps
        ]

    def scrape(self, series: SeriesTable, *contents: dict[str, int]) -> None:
        for each, content in zip(self._maps, contents, strict=True):
            each.content = content
        for source in self._sources:
            source.read()
        series.add_counts(source.take() for source in self._sources)


def test_kernel_counts_are_taken_over_and_not_added_up() -> None:
    series, kernel = table(metric()), CountMaps(2)
    for more in (0, 1):
        kernel.scrape(series, {"a": 5 + more, "b": 7}, {"a": 100})
        assert shown(series.family()) == {"a": 105 + more, "b": 7}


def test_kernel_counts_of_another_unit_are_shown_in_the_metric_s() -> None:
    series, kernel = table(dataclasses.replace(metric(), factor=1e-3)), CountMaps()
    for more in (0, 1):
        kernel.scrape(series, {"a": 1500 + more})
        assert series.family().values.tolist() == [(1500 + more) * 1e-3]


def test_kernel_counts_without_labels_are_one_series() -> None:
    series, kernel = table(metric(labels=False)), CountMaps(2)
    for more in (0, 1):
        kernel.scrape(series, {"a": 5 + more, "b": 7}, {"a": 100})
        assert series.family().values.tolist() == [112 + more]


@pytest.mark.slow
@settings(max_examples=200)
@given(
    budget=st.integers(1, 6),
    scrapes=st.lists(
        st.tuples(
            st.dictionaries(
                st.integers(0, 20).map(lambda n: f"n{n}"), st.integers(1, 50) | st.just(2**50), max_size=12
            ),
            st.sampled_from([0.0, 1.0, WINDOW_SECONDS, 2 * IDLE]),
        ),
        max_size=15,
    ),
)
def test_of_kernel_counts_nothing_is_lost_and_nothing_falls(
    budget: int, scrapes: list[tuple[dict[str, int], float]]
) -> None:
    with little_memory():
        clock = Clock()
        series = table(metric(budget=budget, idle=IDLE), clock)
        kernel, content = CountMaps(2), Counter[str]()
        before: dict[str, int] = {}
        for more, seconds in scrapes:
            content.update(more)
            kernel.scrape(series, dict(content), {})
            clock.now += seconds
            now = shown(series.family())
            assert len(now) <= budget
            assert sum(now.values()) + series.expired == content.total()
            assert all(now[name] >= before[name] for name in now.keys() & before.keys())
            before = now


def test_of_kernel_counts_the_heaviest_have_the_rows() -> None:
    series, kernel = table(metric(budget=3)), CountMaps()
    kernel.scrape(series, {"light": 1, "heavy": 900, "middle": 90, "small": 9})
    assert shown(series.family()) == {"other": 10, "heavy": 900, "middle": 90}
    kernel.scrape(series, {"light": 5, "heavy": 900, "middle": 91, "small": 9})
    assert shown(series.family()) == {"other": 14, "heavy": 900, "middle": 91}


def test_a_kernel_count_that_was_idle_comes_again_with_what_is_new() -> None:
    clock = Clock()
    series, kernel = table(metric(idle=10.0), clock), CountMaps()
    kernel.scrape(series, {"a": 5, "b": 7})
    series.family()
    clock.now += 11
    kernel.scrape(series, {"a": 5, "b": 8})
    assert shown(series.family()) == {"b": 8}
    kernel.scrape(series, {"a": 6, "b": 8})
    assert shown(series.family()) == {"a": 1, "b": 8}
    assert series.expired == 5
