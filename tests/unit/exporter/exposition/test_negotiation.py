# SPDX-License-Identifier: Apache-2.0
"""Content negotiation: the choices of Go's expfmt, and gzip."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probed.exporter.exposition import negotiation
from probed.exporter.exposition.negotiation import OPENMETRICS, OPENMETRICS_0_0_1, PROTOBUF, TEXT, Format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTO = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROMETHEUS_2_42_NATIVE = f"{PROTO},{PROMETHEUS_2_42.replace(',', ';q=0.8,', 1)}"
PROMETHEUS_3_NATIVE = f"{PROTO};q=0.7,{PROMETHEUS_3}"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        (BROWSER, TEXT),
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5", OPENMETRICS_0_0_1),
        (PROMETHEUS_2_42_NATIVE, PROTOBUF),
        (PROMETHEUS_3_NATIVE, PROTOBUF),
        (PROTO.replace(";", " ; "), PROTOBUF),
        (PROTO.replace("delimited", "text"), TEXT),
        (PROTO.replace("MetricFamily", "Metric"), TEXT),
        ("application/vnd.google.protobuf", TEXT),
        ("application/openmetrics-text", OPENMETRICS_0_0_1),
        ("APPLICATION/OpenMetrics-Text ; Version=1.0.0", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.0,*/*", TEXT),
        ("application/openmetrics-text;q=0.1,text/plain", TEXT),
        ("text/plain;q=0.1,application/openmetrics-text;version=1.0.0;q=0.2", OPENMETRICS),
        ("text/plain,application/openmetrics-text;version=1.0.0", TEXT),
        ("*/*,application/openmetrics-text;version=1.0.0", OPENMETRICS),
        ("*,text/*;q=0.5", TEXT),
        ("application/openmetrics-text;q=high,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=7", TEXT),
        ("text/plain;q=0", TEXT),
        (",;,=;q", TEXT),
    ],
)
def test_the_format_follows_accept(accept: str, expected: Format) -> None:
    assert negotiation.choose(accept) is expected


Clause = tuple[str, str, float, dict[str, str]]
"""Type, subtype, q and the other parameters of an element, as goautoneg.Accept."""


def _clauses(accept: str) -> list[Clause]:
    """Parse a header and sort it as goautoneg.ParseAccept and Go's insertion sort (of up to 12 elements) do."""
    clauses: list[Clause] = []
    for part in accept.split(","):
        media, *rest = part.strip(" ").split(";")
        kind, slash, subtype = media.partition("/")
        if not slash:
            continue
        parameters = dict(each.strip(" ").split("=", 1) for each in rest)
        quality = float(parameters.pop("q", "1"))
        clauses.append((kind.strip(" "), subtype.strip(" "), quality, parameters))
    for end in range(1, len(clauses)):
        at = end
        while at > 0 and _is_less(clauses[at], clauses[at - 1]):
            clauses[at - 1], clauses[at] = clauses[at], clauses[at - 1]
            at -= 1
    return clauses


def _is_less(one: Clause, other: Clause) -> bool:
    if one[2] > other[2]:
        return True
    return (one[0] != "*" and other[0] == "*") or (one[1] != "*" and other[1] == "*")


def _chosen_by_go(accept: str) -> Format:
    """Choose as expfmt.NegotiateAccept does among the formats that probed has, text preferred.

    Source: prometheus/common expfmt/encode.go, `matchFormat`.
    """
    for kind, subtype, _, parameters in _clauses(accept):
        for offered in (TEXT, OPENMETRICS, OPENMETRICS_0_0_1, PROTOBUF):
            target = offered.content_type.split("; ")
            wanted = dict(each.split("=") for each in target[1:] if not each.startswith("charset"))
            if not _is_among(kind, subtype, target[0]):
                continue
            default = {"application/openmetrics-text": "0.0.1", "text/plain": "0.0.4"}.get(f"{kind}/{subtype}", "")
            found = parameters | {"version": parameters.get("version") or default}
            if kind == subtype == "*" or all(found.get(key) == value for key, value in wanted.items()):
                return offered
    return TEXT


def _is_among(kind: str, subtype: str, media: str) -> bool:
    of, _, sub = media.partition("/")
    return kind in ("*", of) and subtype in ("*", sub)


media_types = st.sampled_from(
    ["text/plain", "text/html", "application/openmetrics-text", "application/vnd.google.protobuf", "a/b", "nothing"]
)
accept_parameters = st.lists(
    st.sampled_from([
        "version=0.0.4", "version=0.0.1", "version=1.0.0", "version=2.0.0", "version=", "charset=utf-8",
        "proto=io.prometheus.client.MetricFamily", "proto=io.prometheus.client.Metric", "encoding=delimited",
        "encoding=text", "escaping=allow-utf-8",
    ]),
    max_size=4,
)  # fmt: skip
complete = st.sampled_from([
    element.partition(";q=")[0] for element in (PROTO, *PROMETHEUS_2_42.split(","), *PROMETHEUS_3.split(","))
    if not element.startswith("*")
])  # fmt: skip
weights = st.sampled_from(["", ";q=1", ";q=0.9", ";q=0.5", "; q=0.5", ";q=0.25", ";q=0.2"])
elements = st.tuples(
    complete | st.builds(lambda media, rest: ";".join([media, *rest]), media_types, accept_parameters), weights
).map("".join)
wildcards = st.sampled_from(["*/*;q=0.1", "*/*;q=0.2", "text/*;q=0.1", "image/*;q=0.2"])


@pytest.mark.slow
@settings(max_examples=1000)
@given(st.lists(elements, max_size=8), st.lists(wildcards, max_size=3), st.sampled_from([",", ", "]))
def test_the_format_is_the_one_that_go_s_expfmt_chooses(named: list[str], rest: list[str], comma: str) -> None:
    # goautoneg has no order for a wildcard with the greater weight: the result depends on the place in the header.
    accept = comma.join([*named, *rest])
    assert negotiation.choose(accept) is _chosen_by_go(accept)


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP;q=1", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("x-gzip", True),
        ("gzip;q=0.5, identity;q=0.8", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=", False),
        ("notgzip", False),
    ],
)
def test_gzip_follows_accept_encoding(accept_encoding: str, expected: bool) -> None:
    assert negotiation.accepts_gzip(accept_encoding) is expected


@given(st.text(max_size=60))
def test_no_header_is_too_strange(header: str) -> None:
    negotiation.choose(header)
    negotiation.accepts_gzip(header)


@given(st.binary(max_size=3000))
def test_a_compressed_body_decompresses_to_the_same(body: bytes) -> None:
    packed = negotiation.compress(body)
    assert gzip.decompress(packed) == body
    assert zlib.decompress(packed, 31) == body
