# SPDX-License-Identifier: Apache-2.0
"""Any families for pages, and prometheus_client's pages of the same families."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import exposition
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from probed.exporter.exposition.family import Family, NativeHistograms, SparseBuckets
from probed.exporter.exposition.protobuf_page import MOST_EMPTY
from support.unit.metrics_proto import TYPES, buckets_of

T = TypeVar("T")


class Reference:
    """The same families as prometheus_client's own, from a custom collector; `created` adds the start timestamps."""

    def __init__(self, families: list[Family], created: bool = False) -> None:
        self.families = families
        self.created = created

    def collect(self) -> Iterator[Metric]:
        for family in self.families:
            yield _metric(family, self.created)

    def text(self) -> bytes:
        return exposition.generate_latest(_registry(self))

    def openmetrics(self) -> bytes:
        return _openmetrics(_registry(self))

    def restricted(self, names: frozenset[str]) -> tuple[bytes, bytes]:
        registry: Any = _registry(self).restricted_registry(names)
        return exposition.generate_latest(registry), _openmetrics(registry)


def _registry(collector: Reference) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(collector)  # type: ignore[arg-type]
    return registry


def _openmetrics(registry: Any) -> bytes:
    generate: Callable[[Any], bytes] = openmetrics.generate_latest
    return generate(registry)


def _metric(family: Family, created: bool) -> Metric:
    starts = family.starts.tolist() if created and family.starts is not None else [0.0] * len(family.labels)
    if family.type == "histogram":
        return _histogram(family, starts)
    if family.type == "gauge":
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.label_names)
        for labels, value in zip(family.labels, family.values.tolist(), strict=True):
            gauge.add_metric(labels, value)
        return gauge
    counter = CounterMetricFamily(family.name, family.help, labels=family.label_names)
    for labels, value, start in zip(family.labels, family.values.tolist(), starts, strict=True):
        counter.add_metric(labels, value, created=start or None)
    return counter


def _histogram(family: Family, starts: list[float]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
    text: Callable[[float], str] = floatToGoString
    bounds = [text(bound) for bound in (*family.bounds, float("inf"))]
    for row, labels in enumerate(family.labels):
        counts = [sum(family.buckets[row].tolist()[: n + 1]) for n in range(len(bounds))]
        metric.add_metric(labels, list(zip(bounds, counts, strict=True)), float(family.sums[row]))
        if starts[row]:
            metric.add_sample(f"{family.name}_created", dict(zip(family.label_names, labels, strict=True)), starts[row])
    return metric


def from_protobuf(message: Any) -> Family:
    """Return the family that a message describes, all series with the same bounds."""
    names = tuple(pair.name for pair in message.metric[0].label)
    labels = [tuple(pair.value for pair in metric.label) for metric in message.metric]
    kind: Any = TYPES[message.type]
    if kind != "histogram":
        values = [getattr(metric, kind).value for metric in message.metric]
        return Family(message.name, kind, message.help, names, labels, np.array(values))
    histograms = [metric.histogram for metric in message.metric]
    cumulative = [[*(each.cumulative_count for each in one.bucket), one.sample_count] for one in histograms]
    return Family(
        message.name,
        "histogram",
        message.help,
        names,
        labels,
        bounds=tuple(each.upper_bound for each in histograms[0].bucket),
        buckets=np.diff(np.array(cumulative, np.uint64), axis=1, prepend=np.uint64(0)),
        sums=np.array([one.sample_sum for one in histograms]),
    )


def native_of(message: Any) -> list[tuple[int, int, dict[int, int], dict[int, int]]]:
    """Return schema, zero count and the buckets that hold values, positive and negative, of each histogram."""
    return [
        (one.schema, one.zero_count, *(_held(spans, deltas) for spans, deltas in _sides(one)))
        for one in (metric.histogram for metric in message.metric)
    ]


def _sides(histogram: Any) -> list[tuple[Any, Any]]:
    return [
        (histogram.positive_span, histogram.positive_delta),
        (histogram.negative_span, histogram.negative_delta),
    ]


def _held(spans: Any, deltas: Any) -> dict[int, int]:
    for span in list(spans)[1:]:
        assert span.offset > MOST_EMPTY
    return {index: count for index, count in buckets_of(spans, deltas).items() if count}


HOSTILE = [
    '"',
    "\\",
    "\n",
    '\\"',
    "\\n",
    "|",
    "{",
    "}",
    ",",
    "=",
    "",
    " ",
    "%s",
    "%",
    "{0}",
    "\r",
    "\x00",
    "\x85",
]
HOSTILE += ["\u2028", "ü", "名", "🐝", "\ufffd", '",le="0"} 1\n', "# EOF\n", "\x1b[2J"]
valid = st.characters(exclude_categories=["Cs"])
label_value = st.one_of(st.sampled_from(HOSTILE), st.text(valid, max_size=8))
label_names = st.lists(
    st.sampled_from(["comm", "errno", "kind", "le_", "l", "parent", "zz", "_a"]), unique=True, max_size=3
)
counts = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2_000_000),
    st.sampled_from([0, 999_999, 10**6, 10**9, 10**10, 2**53, 2**53 + 1, 10**16, 2**64 - 1]),
)
signed = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-999_999, -(10**6), -(10**16)]))
help_text = st.text(valid, max_size=20)


times = st.one_of(st.just(0.0), st.floats(1, 4e9), st.integers(1, 2**32).map(float))


def _exactly(size: int, of: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    return st.lists(of, min_size=size, max_size=size)


@st.composite
def families(draw: st.DrawFn) -> list[Family]:
    return [draw(family(number)) for number in range(draw(st.integers(0, 3)))]


@st.composite
def family(draw: st.DrawFn, number: int) -> Family:
    kind = draw(st.sampled_from(["counter", "gauge", "histogram"]))
    names = tuple(draw(label_names))
    values = st.tuples(*[label_value] * len(names))
    labels = draw(st.lists(values, unique=True, max_size=4))
    text = draw(help_text)
    if kind == "counter":
        array = np.array(draw(_exactly(len(labels), counts)), np.uint64)
        return Family(
            f"probed_c{number}_total", "counter", text, names, labels, array, starts=draw(starts(len(labels)))
        )
    if kind == "gauge":
        floats = _exactly(len(labels), st.floats()).map(lambda numbers: np.array(numbers, float))
        integers = _exactly(len(labels), signed).map(lambda numbers: np.array(numbers, np.int64))
        unsigned = _exactly(len(labels), counts).map(lambda numbers: np.array(numbers, np.uint64))
        return Family(f"probed_g{number}", "gauge", text, names, labels, draw(st.one_of(floats, integers, unsigned)))
    bounds = draw(st.lists(st.floats(1e-9, 1e18), unique=True, max_size=4).map(sorted))
    row = _exactly(len(bounds) + 1, st.integers(0, 2**60))
    return Family(
        f"probed_h{number}_seconds",
        "histogram",
        text,
        names,
        labels,
        bounds=tuple(bounds),
        buckets=np.array(draw(_exactly(len(labels), row)), np.uint64).reshape(len(labels), len(bounds) + 1),
        sums=np.array(draw(_exactly(len(labels), st.floats(0, 1e300))), float),
        native=draw(st.none() | native(len(labels))),
        starts=draw(starts(len(labels))),
    )


def starts(series: int) -> st.SearchStrategy[NDArray[Any] | None]:
    return st.none() | _exactly(series, times).map(lambda each: np.array(each, float))


@st.composite
def native(draw: st.DrawFn, series: int) -> NativeHistograms:
    schemas = np.array(draw(_exactly(series, st.integers(-4, 8))), np.int64)
    zeros = np.array(draw(_exactly(series, counts)), np.uint64)
    return NativeHistograms(schemas, zeros, draw(sparse(series)), draw(sparse(series)))


@st.composite
def sparse(draw: st.DrawFn, series: int) -> SparseBuckets:
    """Draw buckets close to each other and far apart; counts whose difference is an int64."""
    index = st.one_of(st.integers(-9, 9), st.integers(-(2**14), 2**14))
    rows = [
        (row, *bucket)
        for row in range(series)
        for bucket in sorted(draw(st.dictionaries(index, st.integers(1, 2**62), max_size=12)).items())
    ]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    of_series, indexes, sizes = columns
    return SparseBuckets(np.array(of_series, np.intp), np.array(indexes, np.int64), np.array(sizes, np.uint64))
