# SPDX-License-Identifier: Apache-2.0
"""The page in Protocol Buffers: one delimited `io.prometheus.client.MetricFamily` after the other.

Prometheus asks for this format where native histograms are enabled. Like `renderer`, the page keeps the encoded labels
of each series, and encodes only numbers anew: numpy encodes the numbers of `SERIES_AT_ONCE` series together. A test
compares the page byte for byte with Google's library.
Source: prometheus/client_model io/prometheus/client/metrics.proto.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.exposition.family import ZERO_THRESHOLD, Family, NativeHistograms, SparseBuckets
from probed.exporter.exposition.varints import encode, lengths, starts_of, varint, write, zigzag

SERIES_AT_ONCE = 512
"""Series encoded together: enough for numpy, and few enough for temporary arrays below a megabyte."""

MOST_EMPTY = 2
"""Empty buckets inside a span, as client_golang has it; a wider gap begins a new span."""

_VARINT, _DOUBLE, _BYTES = 0, 1, 2

_TYPES = {"counter": 0, "gauge": 1, "histogram": 4}
_VALUE_FIELDS = {"counter": 3, "gauge": 2}
_HISTOGRAM_FIELD = 7


def _tag(field: int, wire: int) -> bytes:
    return varint(field << 3 | wire)


def _bytes_field(field: int, content: bytes) -> bytes:
    return _tag(field, _BYTES) + varint(len(content)) + content


def _varint_field(field: int, number: int) -> bytes:
    return _tag(field, _VARINT) + varint(number)


_METRIC = _tag(4, _BYTES)
_VALUE = _tag(1, _DOUBLE)
_COUNT, _SUM = _tag(1, _VARINT), _tag(2, _DOUBLE)
_HISTOGRAM = _tag(_HISTOGRAM_FIELD, _BYTES)
_SCHEMA, _ZEROS = _tag(5, _VARINT), _tag(7, _VARINT)
_ZERO_THRESHOLD = _tag(6, _DOUBLE) + struct.pack("<d", ZERO_THRESHOLD)
_NEGATIVE, _POSITIVE = (9, 10), (12, 13)
"""Fields of the spans and of the deltas."""
_COUNTER_START, _HISTOGRAM_START = 3, 15


class _Encoded(NamedTuple):
    """Encoded parts of one series that stay: before the numbers, and behind them the start timestamp.

    `head` has the labels; that of a counter or gauge also everything else before the eight bytes of the value.
    """

    head: bytes
    start: bytes


class _Known(NamedTuple):
    """The series of one family on the last page, their starts in seconds, and their encoded parts by labels."""

    labels: list[tuple[str, ...]]
    starts: list[float]
    encoded: dict[tuple[str, ...], _Encoded]


_NOTHING = _Known([], [], {})


class ProtobufPage:
    """Encodes families, and keeps the encoded labels of the last page's series. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, tuple[str, ...]], _Known] = {}

    def render(self, families: Iterable[Family], *, names: frozenset[str] | None = None) -> bytes:
        """Return the page, without families that have no series.

        `names` restricts the page to families of these names; the name of a sample stands for the whole family. Raises
        UnicodeEncodeError when a label holds a lone surrogate.
        """
        with self._lock:
            known: dict[tuple[str, str, tuple[str, ...]], _Known] = {}
            parts: list[bytes] = []
            for family in families:
                key = (family.name, family.type, family.label_names)
                before = self._known.get(key, _NOTHING)
                if names is not None and names.isdisjoint({family.openmetrics_name, family.name, *family.sample_names}):
                    known[key] = before
                    continue
                known[key] = now = _encoded(family, before)
                if now.labels:
                    parts += _delimited(family, list(now.encoded.values()))
            self._known = known
        return b"".join(parts)


def _encoded(family: Family, before: _Known) -> _Known:
    """Return the encoded parts of a family's series, with those of the last page where nothing has changed."""
    labels = list(family.labels)
    starts = [0.0] * len(labels) if family.starts is None else family.starts.tolist()
    if labels == before.labels and starts == before.starts:
        return before
    started = dict(zip(before.labels, before.starts, strict=True))
    encoded = {
        each: before.encoded[each] if started.get(each) == start else _parts(family, each, start)
        for each, start in zip(labels, starts, strict=True)
    }
    return _Known(labels, starts, encoded)


def _parts(family: Family, labels: tuple[str, ...], start: float) -> _Encoded:
    encoded, encoded_start = _labels(family, labels), _start(family, start)
    if family.type == "histogram":
        return _Encoded(encoded, encoded_start)
    value = _tag(_VALUE_FIELDS[family.type], _BYTES) + varint(9 + len(encoded_start)) + _VALUE
    size = varint(len(encoded) + len(value) + 8 + len(encoded_start))
    return _Encoded(_METRIC + size + encoded + value, encoded_start)


def _labels(family: Family, labels: tuple[str, ...]) -> bytes:
    pairs = sorted(zip(family.label_names, labels, strict=True))
    return b"".join(
        _bytes_field(1, _bytes_field(1, name.encode()) + _bytes_field(2, value.encode())) for name, value in pairs
    )


def _start(family: Family, start: float) -> bytes:
    """Encode a start timestamp; nothing without a start."""
    if not start:
        return b""
    seconds, microseconds = divmod(round(start * 1_000_000), 1_000_000)
    timestamp = _varint_field(1, seconds) + _varint_field(2, 1000 * microseconds)
    return _bytes_field(_HISTOGRAM_START if family.type == "histogram" else _COUNTER_START, timestamp)


def _delimited(family: Family, series: list[_Encoded]) -> list[bytes]:
    head = _bytes_field(1, family.name.encode()) + _bytes_field(2, family.help.encode())
    encode_rows = _histograms if family.type == "histogram" else _values
    parts = [b"", head, _varint_field(3, _TYPES[family.type])]
    for start in range(0, len(series), SERIES_AT_ONCE):
        rows = slice(start, start + SERIES_AT_ONCE)
        parts.append(b"".join(encode_rows(family, rows, series[rows])))
    parts[0] = varint(sum(map(len, parts)))
    return parts


def _values(family: Family, rows: slice, series: list[_Encoded]) -> list[bytes]:
    """Encode counters or gauges: each a `Metric` with the labels and one value."""
    values = family.values[rows].astype("<f8").tobytes()
    places = range(0, len(values), 8)
    return [head + values[at : at + 8] + start for (head, start), at in zip(series, places, strict=True)]


def _histograms(family: Family, rows: slice, series: list[_Encoded]) -> Iterator[bytes]:
    """Encode histograms: `Metric` with the labels and the classic and native buckets."""
    buckets = family.buckets[rows].astype(np.uint64)
    counts, at = encode(buckets.sum(axis=1, dtype=np.uint64))
    sums = family.sums[rows].astype("<f8").tobytes()
    classic = _classic(family.bounds, np.cumsum(buckets[:, :-1], axis=1, dtype=np.uint64))
    native = _native(family.native, rows, len(series)) if family.native else [b""] * len(series)
    for row, (labels, start) in enumerate(series):
        count = counts[at[row] : at[row + 1]]
        histogram = b"".join((_COUNT, count, _SUM, sums[8 * row : 8 * row + 8], classic[row], native[row], start))
        metric = labels + _HISTOGRAM + varint(len(histogram))
        yield b"".join((_METRIC, varint(len(metric) + len(histogram)), metric, histogram))


def _classic(bounds: tuple[float, ...], counts: NDArray[Any]) -> list[bytes]:
    """Encode the messages `Bucket` of each row: `counts` cumulative, shape (n, bounds), dtype uint64.

    There is none for +Inf: readers take the histogram's count, as for client_golang's pages.
    """
    numbers = counts.ravel()
    sizes = lengths(numbers)
    offsets = starts_of(sizes + 12)
    out = np.empty(int(offsets[-1]), np.uint8)
    at = offsets[:-1]
    out[at], out[at + 1], out[at + 2] = 0x1A, sizes + 10, 0x08  # bucket, its length, cumulative_count
    write(out, at + 3, numbers, sizes)
    at = at + 3 + sizes
    out[at] = 0x11  # upper_bound
    doubles = np.array(bounds, "<f8").view(np.uint8).reshape(-1, 8)
    out[at[:, None] + np.arange(1, 9)] = np.tile(doubles, (len(counts), 1))
    return _split(out.tobytes(), offsets[:: max(len(bounds), 1)] if bounds else np.zeros(len(counts) + 1, np.intp))


def _split(encoded: bytes, offsets: NDArray[Any]) -> list[bytes]:
    return [encoded[start:end] for start, end in pairwise(offsets.tolist())]


def _native(native: NativeHistograms, rows: slice, count: int) -> list[bytes]:
    """Encode the fields of native buckets of `count` series from `rows.start` on."""
    schemas = _split(*encode(zigzag(native.schemas[rows].astype(np.int64))))
    zeros = _split(*encode(native.zeros[rows].astype(np.uint64)))
    negative = _sparse(native.negative, rows.start, count, _NEGATIVE)
    positive = _sparse(native.positive, rows.start, count, _POSITIVE)
    return [
        b"".join((_SCHEMA, schema, _ZERO_THRESHOLD, _ZEROS, zero, below, above))
        for schema, zero, below, above in zip(schemas, zeros, negative, positive, strict=True)
    ]


def _sparse(buckets: SparseBuckets, first: int, count: int, fields: tuple[int, int]) -> list[bytes]:
    """Encode spans and deltas of `count` series from the series `first` on."""
    begin, end = np.searchsorted(buckets.series, (first, first + count)).tolist()
    if begin == end:
        return [b""] * count
    series, indexes, counts = _filled(
        buckets.series[begin:end] - first, buckets.indexes[begin:end], buckets.counts[begin:end].astype(np.int64)
    )
    is_first = np.diff(series, prepend=-1) != 0
    deltas = np.where(is_first, counts, np.diff(counts, prepend=0))
    encoded, at = encode(zigzag(deltas))
    by_series = np.searchsorted(series, np.arange(count + 1))
    packed = _split(encoded, at[by_series])
    spans = _spans(series, indexes, is_first, count, fields[0])
    tag = _tag(fields[1], _BYTES)
    return [span + tag + varint(len(each)) + each if each else b"" for span, each in zip(spans, packed, strict=True)]


def _filled(
    series: NDArray[Any], indexes: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return series, indexes and counts of buckets with those between them that a span includes, at 0."""
    missing = np.diff(indexes) - 1
    missing[(np.diff(series) != 0) | (missing > MOST_EMPTY)] = 0
    missing = np.append(0, missing)
    places = np.cumsum(missing + 1) - 1
    total = int(places[-1]) + 1
    all_counts = np.zeros(total, np.int64)
    all_counts[places] = counts
    # An empty bucket precedes the bucket behind the gap, one index lower for each place.
    behind = np.searchsorted(places, np.arange(total))
    return series[behind], indexes[behind] - (places[behind] - np.arange(total)), all_counts


def _spans(series: NDArray[Any], indexes: NDArray[Any], is_first: NDArray[Any], count: int, field: int) -> list[bytes]:
    """Encode the messages `BucketSpan` of each series: a span's offset is the index, then the gap before the span."""
    gaps = np.where(is_first, indexes, np.diff(indexes, prepend=0) - 1)
    begins = (is_first | (gaps != 0)).nonzero()[0]
    spans = zigzag(gaps[begins].astype(np.int64))
    extents = np.diff(np.append(begins, len(series))).astype(np.uint64)
    first_sizes, second_sizes = lengths(spans), lengths(extents)
    offsets = starts_of(first_sizes + second_sizes + 4)
    out = np.empty(int(offsets[-1]), np.uint8)
    at = offsets[:-1]
    out[at], out[at + 1], out[at + 2] = field << 3 | _BYTES, first_sizes + second_sizes + 2, 0x08
    write(out, at + 3, spans, first_sizes)
    out[at + 3 + first_sizes] = 0x10
    write(out, at + 4 + first_sizes, extents, second_sizes)
    return _split(out.tobytes(), offsets[np.searchsorted(series[begins], np.arange(count + 1))])
