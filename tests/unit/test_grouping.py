# SPDX-License-Identifier: Apache-2.0
"""Grouping and series tables, held against ten lines that count event by event."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probed.exporter import grouping
from probed.exporter.decoders import decoder
from probed.exporter.grouping import Grouping
from probed.exporter.records import dtype, key_values, key_words
from probed.exporter.series import SeriesTable
from probed.manifest import Field, Label, Metric, Record

FIELDS = (
    Field("lifetime_ns", "u64", 0, 1),
    Field("comm", "char", 8, 16),
    Field("errno", "u32", 24, 1),
    Field("delta", "s16", 28, 1),
    Field("kind", "u8", 30, 1),
)
EVENT = Record(32, FIELDS)
BOUNDS = (0.001, 0.01, 0.1)

names = st.one_of(st.sampled_from([b"bash", b"sh", b"bash\0sh", b"", b"\xff", rb"\xff"]), st.binary(max_size=16))
events = st.lists(
    st.tuples(st.integers(0, 2**40), names, st.integers(0, 5), st.integers(-3, 3), st.integers(0, 2)),
    max_size=60,
)


def array(rows: list[tuple[int, bytes, int, int, int]]) -> np.ndarray:
    result = np.zeros(len(rows), dtype(EVENT))
    for at, (lifetime, comm, errno, delta, kind) in enumerate(rows):
        result[at] = (lifetime, np.void(comm.ljust(16, b"\0")), errno, delta, kind)
    return result


def label(name: str, how: str) -> Label:
    return Label(name, name, how, {})


def metric(kind: str, labels: tuple[Label, ...], when: dict[str, int]) -> Metric:
    value, bounds = ("lifetime_ns", BOUNDS) if kind == "histogram" else (None, ())
    return Metric("probed_x_total", kind, "Help.", (), when, labels, value, 1e-9, bounds)  # type: ignore[arg-type]


def table(of: Metric) -> SeriesTable:
    fields = tuple(next(f for f in FIELDS if f.name == each.field) for each in of.labels)
    return SeriesTable(of, fields, tuple(map(decoder, of.labels)))


LABELS = (label("comm", "comm"), label("errno", "errno"), label("delta", "integer"))


@given(st.lists(events, max_size=4))
def test_counters_agree_with_counting_event_by_event(
    batches: list[list[tuple[int, bytes, int, int, int]]],
) -> None:
    of = metric("counter", LABELS, {"kind": 1})
    series = table(of)
    expected: Counter[tuple[str, ...]] = Counter()
    decoders = [decoder(each) for each in LABELS]
    for batch in batches:
        series.add_events(array(batch))
        for _, comm, errno, delta, kind in batch:
            if kind == 1:
                values = (comm.ljust(16, b"\0"), errno, delta)
                expected[tuple(d(v) for d, v in zip(decoders, values, strict=True))] += 1
    family = series.family()
    assert dict(zip(family.labels, family.values.tolist(), strict=True)) == expected


@given(st.lists(events, max_size=4))
def test_histograms_agree_with_observing_event_by_event(
    batches: list[list[tuple[int, bytes, int, int, int]]],
) -> None:
    series = table(metric("histogram", LABELS[:1], {}))
    buckets: dict[tuple[str, ...], list[int]] = {}
    sums: Counter[tuple[str, ...]] = Counter()
    comm_text = decoder(LABELS[0])
    for batch in batches:
        series.add_events(array(batch))
        for lifetime, comm, *_ in batch:
            key = (comm_text(comm),)
            at = sum(lifetime > round(bound * 1e9) for bound in BOUNDS)
            buckets.setdefault(key, [0] * (len(BOUNDS) + 1))[at] += 1
            sums[key] += lifetime
    family = series.family()
    assert dict(zip(family.labels, family.buckets.tolist(), strict=True)) == buckets
    for key, total in zip(family.labels, family.sums.tolist(), strict=True):
        assert total == pytest.approx(sums[key] * 1e-9)


def test_a_value_equal_to_the_bound_is_in_the_bucket() -> None:
    series = table(metric("histogram", (), {}))
    series.add_events(array([(1_000_000, b"", 0, 0, 0), (1_000_001, b"", 0, 0, 0), (10**12, b"", 0, 0, 0)]))
    assert series.family().buckets.tolist() == [[1, 1, 0, 1]]


def test_a_metric_without_labels_is_there_before_the_first_event() -> None:
    family = table(metric("counter", (), {})).family()
    assert (family.labels, family.values.tolist()) == (((),), [0])


def test_keys_that_say_the_same_share_one_series() -> None:
    series = table(metric("counter", LABELS[:1], {}))
    series.add_events(array([(0, b"bash\0one", 0, 0, 0), (0, b"bash\0two", 0, 0, 0), (0, b"bash", 0, 0, 0)]))
    family = series.family()
    assert (family.labels, family.values.tolist()) == ((("bash",),), [3])


def test_kernel_counts_are_taken_over_and_not_added_up() -> None:
    series = table(metric("counter", (label("errno", "errno"),), {}))
    keys = array([(0, b"", 2, 0, 0), (0, b"", 13, 0, 0)])
    for counts in ([5, 7], [6, 7]):
        series.set_counts([(keys, np.array(counts, np.uint64)), (keys[:1], np.array([100], np.uint64))])
    family = series.family()
    assert dict(zip(family.labels, family.values.tolist(), strict=True)) == {("ENOENT",): 106, ("EACCES",): 7}


def test_a_family_does_not_change_afterwards() -> None:
    series = table(metric("counter", (), {}))
    family = series.family()
    series.add_events(array([(0, b"", 0, 0, 0)]))
    assert family.values.tolist() == [0]


class OneSlot(Grouping):
    """Every key finds every other key in its slot."""

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return np.zeros(keys.shape[1], np.int64)


@pytest.mark.parametrize("kind", [Grouping, OneSlot])
@given(data=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=50), max_size=5))
def test_different_keys_never_share_a_row(kind: type[Grouping], data: list[list[int]]) -> None:
    rows: dict[int, int] = {}
    groups = kind(2, lambda key: rows.setdefault(int(key[0]), len(rows)))
    for batch in data:
        keys = np.array([batch, [7] * len(batch)], np.uint64)
        assert groups.rows(keys).tolist() == [rows[number] for number in batch]


@settings(max_examples=5)
@given(st.randoms())
def test_remembering_fewer_keys_than_there_are_changes_nothing(random) -> None:  # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "MAX_KEYS", 3)
        groups = OneSlot(1, lambda key: int(key[0]) * 2)
        for _ in range(5):
            batch = [random.randrange(20) for _ in range(50)]
            assert groups.rows(np.array([batch], np.uint64)).tolist() == [2 * number for number in batch]


@given(events)
def test_key_values_are_what_went_into_the_words(batch: list[tuple[int, bytes, int, int, int]]) -> None:
    records = array(batch)
    words = key_words(records, FIELDS)
    for at, (lifetime, comm, errno, delta, kind) in enumerate(batch):
        expected = [lifetime, comm.ljust(16, b"\0"), errno, delta, kind]
        assert key_values(words[:, at], FIELDS) == expected


def test_char_arrays_of_odd_length_keep_all_their_bytes() -> None:
    record = Record(5, (Field("tag", "char", 0, 5),))
    records = np.frombuffer(b"abcdeabcdf", dtype(record))
    words = key_words(records, record.fields)
    assert [key_values(words[:, at], record.fields) for at in (0, 1)] == [[b"abcde"], [b"abcdf"]]
