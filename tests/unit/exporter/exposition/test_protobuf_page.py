# SPDX-License-Identifier: Apache-2.0
"""The protobuf page: equal to Google's encoding, with the numbers of prometheus_client's text."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probed.exporter.exposition.family import ZERO_THRESHOLD, Family, NativeHistograms, SparseBuckets
from probed.exporter.exposition.protobuf_page import ProtobufPage
from probed.exporter.exposition.varints import encode, varint, zigzag
from support.unit.metrics_proto import messages, parse
from support.unit.page_families import Reference, families, from_protobuf, native_of


def _lifetimes(*comms: str, start: float = 0.0, schema: int = 3) -> Family:
    """Return a histogram with 7 values in each series."""
    count = len(comms)
    indexes = np.array([0, 3, 4, 40] * count)
    return Family(
        "probed_lifetime_seconds", "histogram", "Lifetimes.", ("comm", "zone"), [(comm, "x") for comm in comms],
        bounds=(0.5, 10.0),
        buckets=np.array([[1, 0, 6]] * count, np.uint64),
        sums=np.array([40.5] * count),
        native=NativeHistograms(
            np.array([schema] * count), np.array([1] * count, np.uint64),
            SparseBuckets(np.repeat(np.arange(count), 4), indexes, np.array([2, 1, 1, 1] * count, np.uint64)),
            SparseBuckets(np.arange(count), np.array([-7] * count), np.array([1] * count, np.uint64)),
        ),
        starts=np.array([start] * count),
    )  # fmt: skip


def _execs(*comms: str) -> Family:
    return Family("probed_execs_total", "counter", "Execs.", ("comm",), [(c,) for c in comms], np.ones(len(comms), int))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(families())
def test_a_page_is_byte_for_byte_google_s_encoding_of_its_messages(of_page: list[Family]) -> None:
    page = ProtobufPage()
    for _ in "cold", "warm":
        for message, encoded in messages(page.render(of_page)):
            assert message.SerializeToString(deterministic=True) == encoded


@settings(deadline=None)
@given(families())
def test_a_page_has_the_families_of_prometheus_client_s_text(of_page: list[Family]) -> None:
    parsed = [from_protobuf(message) for message in parse(ProtobufPage().render(of_page))]
    full = [family for family in of_page if len(family.labels)]
    assert Reference(parsed).text() == Reference(full).text()


@settings(deadline=None)
@given(families())
def test_a_page_has_every_native_bucket_and_every_start(of_page: list[Family]) -> None:
    full = [family for family in of_page if len(family.labels)]
    for family, message in zip(full, parse(ProtobufPage().render(of_page)), strict=True):
        native = family.native
        if native is not None:
            assert native_of(message) == [
                (int(schema), int(zeros), _by_index(native.positive, row), _by_index(native.negative, row))
                for row, (schema, zeros) in enumerate(zip(native.schemas, native.zeros, strict=True))
            ]
            assert {metric.histogram.zero_threshold for metric in message.metric} == {ZERO_THRESHOLD}
        starts = [0.0] * len(family.labels) if family.starts is None else family.starts.tolist()
        if family.type != "gauge":
            of_type = [getattr(metric, family.type) for metric in message.metric]
            assert [each.HasField("created_timestamp") for each in of_type] == [start > 0 for start in starts]
            shown = [each.created_timestamp.seconds + each.created_timestamp.nanos / 1e9 for each in of_type]
            assert shown == pytest.approx(starts, abs=1e-6)


def _by_index(buckets: SparseBuckets, row: int) -> dict[int, int]:
    own = buckets.series == row
    return dict(zip(buckets.indexes[own].tolist(), buckets.counts[own].tolist(), strict=True))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(families(), max_size=4))
def test_kept_labels_and_starts_never_show_on_the_next_page(pages: list[list[Family]]) -> None:
    page = ProtobufPage()
    for of_page in pages:
        assert page.render(of_page) == ProtobufPage().render(of_page)


def test_a_page_reads_like_this() -> None:
    execs, lifetimes = parse(ProtobufPage().render([_execs("sh"), _lifetimes("sh", start=1700000000.25)]))
    assert str(execs) == (
        'name: "probed_execs_total"\nhelp: "Execs."\ntype: 0\nmetric {\n'
        '  label {\n    name: "comm"\n    value: "sh"\n  }\n  counter {\n    value: 1\n  }\n}\n'
    )
    histogram = lifetimes.metric[0].histogram
    assert (histogram.sample_count, histogram.sample_sum, histogram.schema, histogram.zero_count) == (7, 40.5, 3, 1)
    assert [(each.cumulative_count, each.upper_bound) for each in histogram.bucket] == [(1, 0.5), (1, 10.0)]
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(0, 5), (35, 1)]
    assert list(histogram.positive_delta) == [2, -2, 0, 1, 0, 0]
    assert [(span.offset, span.length) for span in histogram.negative_span] == [(-7, 1)]
    assert list(histogram.negative_delta) == [1]
    assert (histogram.created_timestamp.seconds, histogram.created_timestamp.nanos) == (1700000000, 250_000_000)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("probed_lifetime_seconds", ["probed_lifetime_seconds"]),
        ("probed_lifetime_seconds_bucket", ["probed_lifetime_seconds"]),
        ("probed_execs_total", ["probed_execs_total"]),
        ("probed_execs", ["probed_execs_total"]),
        ("nothing", []),
    ],
)
def test_a_name_stands_for_the_whole_family(name: str, wanted: list[str]) -> None:
    page = ProtobufPage().render([_execs("sh"), _lifetimes("sh")], names=frozenset([name]))
    assert [message.name for message in parse(page)] == wanted


def test_a_family_without_series_is_left_out() -> None:
    assert ProtobufPage().render([_execs(), _lifetimes()]) == b""


@pytest.mark.parametrize("count", [127, 128, 129, 300])
def test_a_large_family_is_encoded_in_parts(count: int) -> None:
    comms = [f"c{number}" for number in range(count)]
    (message,) = parse(ProtobufPage().render([_lifetimes(*comms)]))
    assert [metric.label[0].value for metric in message.metric] == comms
    assert native_of(message) == [(3, 1, {0: 2, 3: 1, 4: 1, 40: 1}, {-7: 1})] * count


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))))
def test_an_array_s_varints_are_those_of_each_number(numbers: list[int]) -> None:
    encoded, at = encode(np.array(numbers, np.uint64))
    assert encoded == b"".join(map(varint, numbers))
    assert [encoded[start:end] for start, end in pairwise(at)] == list(map(varint, numbers))


def test_zigzag_keeps_small_numbers_small() -> None:
    numbers = np.array([0, -1, 1, -2, 2**63 - 1, -(2**63)], np.int64)
    assert zigzag(numbers).tolist() == [0, 1, 2, 3, 2**64 - 2, 2**64 - 1]
