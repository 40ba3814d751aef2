# SPDX-License-Identifier: Apache-2.0
"""Recorded pages in other formats: the families of a text page, with native histograms beside buckets or alone.

A text page has no single observations. `with_native` spreads the count of each bucket evenly over the native buckets
that the bucket covers, so a series has more native buckets than on the real host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from probed.exporter.exposition.family import Family, NativeHistograms, SparseBuckets
from probed.exporter.exposition.protobuf_page import ProtobufPage
from probed.exporter.exposition.renderer import Page

SCHEMA = 3
"""The resolution of the shipped histograms, and of each series here: none has more than 160 buckets."""

LEAST_LIFETIME = 1e-4
"""Begin of the first bucket for the spread: the shortest lives take a tenth of a millisecond."""

Labels = tuple[str, ...]

Families = list[Family]


def families(page: str) -> list[Family]:
    """Return the families of a page in text format 0.0.4; all series of a family have the same label names."""
    parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families
    return [_histogram(each) if each.type == "histogram" else _simple(each) for each in parse(page) if each.samples]


def _simple(metric: Metric) -> Family:
    names = tuple(sorted(metric.samples[0].labels))
    kind: Any = metric.type
    labels = [tuple(sample.labels[name] for name in names) for sample in metric.samples]
    values = np.array([sample.value for sample in metric.samples])
    return Family(metric.samples[0].name, kind, metric.documentation, names, labels, values)


def _histogram(metric: Metric) -> Family:
    names = tuple(sorted(metric.samples[0].labels.keys() - {"le"}))
    cumulative: dict[Labels, dict[float, float]] = {}
    sums: dict[Labels, float] = {}
    for sample in metric.samples:
        labels = tuple(sample.labels[name] for name in names)
        if "le" in sample.labels:
            cumulative.setdefault(labels, {})[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    bounds = tuple(sorted(next(iter(cumulative.values()))))
    counts = np.array([[row[bound] for bound in bounds] for row in cumulative.values()])
    return Family(
        metric.name,
        "histogram",
        metric.documentation,
        names,
        list(cumulative),
        bounds=bounds[:-1],
        buckets=np.diff(counts, axis=1, prepend=0).astype(np.uint64),
        sums=np.array([sums[labels] for labels in cumulative]),
    )


def with_native(page: Iterable[Family]) -> list[Family]:
    """Return the families with a native form of each histogram."""
    return [replace(each, native=_native(each)) if each.type == "histogram" else each for each in page]


def native_only(page: Iterable[Family]) -> list[Family]:
    """Return the families with native histograms alone."""
    return [
        replace(each, bounds=(), buckets=each.buckets.sum(axis=1, keepdims=True)) if each.native else each
        for each in with_native(page)
    ]


def native_protobuf(page: bytes) -> bytes:
    """Return the protobuf page of a text page, with native histograms alone."""
    return ProtobufPage().render(native_only(families(page.decode())))


def series(page: Families, format_name: str) -> int:
    """Count the series that Prometheus stores; of protobuf, a native histogram is one, whatever else it has."""
    return sum(len(each.labels) * _series_of_a_label_set(each, format_name) for each in page)


def _series_of_a_label_set(family: Family, format_name: str) -> int:
    native = family.native is not None and format_name == "protobuf"
    return len(family.bounds) + 3 if family.type == "histogram" and not native else 1


def _as_declared(page: Families) -> Families:
    return page


VARIANTS: tuple[tuple[str, str, Callable[[Families], Families], Callable[[Families], bytes]], ...] = (
    ("text", "classic", _as_declared, Page().render),
    ("text", "native only", native_only, Page().render),
    ("protobuf", "classic", _as_declared, ProtobufPage().render),
    ("protobuf", "both", with_native, ProtobufPage().render),
    ("protobuf", "native only", native_only, ProtobufPage().render),
)
"""Format, form of the histograms, and how the families and their page are made."""


def _native(family: Family) -> NativeHistograms:
    ends = [_index(bound) for bound in (LEAST_LIFETIME, *family.bounds, 4 * family.bounds[-1])]
    cells: list[tuple[int, int, int]] = []
    for row, counts in enumerate(family.buckets.astype(int).tolist()):
        for begin, end, count in zip(ends, ends[1:], counts, strict=False):
            shares = np.diff(np.linspace(0, count, end - begin + 1).round().astype(int))
            cells += [(row, begin + 1 + place, int(share)) for place, share in enumerate(shares) if share]
    series, indexes, sizes = (np.array(column) for column in zip(*cells, strict=True))
    nothing = SparseBuckets(*(np.zeros(0, np.int64) for _ in range(3)))
    rows = len(family.labels)
    positive = SparseBuckets(series, indexes, sizes.astype(np.uint64))
    return NativeHistograms(np.full(rows, SCHEMA), np.zeros(rows, np.uint64), positive, nothing)


def _index(value: float) -> int:
    return math.ceil(math.log2(value) * (1 << SCHEMA))
