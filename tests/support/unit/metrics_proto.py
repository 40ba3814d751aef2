# SPDX-License-Identifier: Apache-2.0
"""The messages of Prometheus's protobuf format, made with Google's library: an oracle for tests.

Field numbers and types are those of prometheus/client_model io/prometheus/client/metrics.proto. Deltas are packed, as
in Prometheus's own copy of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.protobuf_messages import Fields, message_classes

PACKAGE = "io.prometheus.client"

_MESSAGES: dict[str, Fields] = {
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "LabelPair": {"name": (1, "string"), "value": (2, "string")},
    "Gauge": {"value": (1, "double")},
    "Counter": {"value": (1, "double"), "created_timestamp": (3, "Timestamp")},
    "Bucket": {"cumulative_count": (1, "uint64"), "upper_bound": (2, "double")},
    "BucketSpan": {"offset": (1, "sint32"), "length": (2, "uint32")},
    "Histogram": {
        "sample_count": (1, "uint64"),
        "sample_sum": (2, "double"),
        "bucket": (3, "repeated Bucket"),
        "schema": (5, "sint32"),
        "zero_threshold": (6, "double"),
        "zero_count": (7, "uint64"),
        "negative_span": (9, "repeated BucketSpan"),
        "negative_delta": (10, "repeated sint64"),
        "positive_span": (12, "repeated BucketSpan"),
        "positive_delta": (13, "repeated sint64"),
        "created_timestamp": (15, "Timestamp"),
    },
    "Metric": {
        "label": (1, "repeated LabelPair"),
        "gauge": (2, "Gauge"),
        "counter": (3, "Counter"),
        "histogram": (7, "Histogram"),
    },
    "MetricFamily": {
        "name": (1, "string"),
        "help": (2, "string"),
        "type": (3, "int32"),  # an enum, in the encoding an int32: 0 counter, 1 gauge, 4 histogram
        "metric": (4, "repeated Metric"),
    },
}

TYPES = {0: "counter", 1: "gauge", 4: "histogram"}

MetricFamily = message_classes(PACKAGE, _MESSAGES)["MetricFamily"]


def messages(page: bytes) -> Iterator[tuple[Any, bytes]]:
    """Yield each delimited message of a page, parsed and as its bytes."""
    at = 0
    while at < len(page):
        size, shift = 0, 0
        while True:
            byte = page[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        assert at + size <= len(page)
        encoded = page[at : at + size]
        yield MetricFamily.FromString(encoded), encoded
        at += size


def parse(page: bytes) -> list[Any]:
    """Return the families of a page."""
    return [message for message, _ in messages(page)]


def buckets_of(spans: Any, deltas: Any) -> dict[int, int]:
    """Return the count of each bucket by index, with empty buckets of the spans."""
    counts: dict[int, int] = {}
    index, count, left = 0, 0, list(deltas)
    for span in spans:
        index += span.offset
        for _ in range(span.length):
            count += left.pop(0)
            counts[index] = count
            index += 1
    assert not left
    return counts
