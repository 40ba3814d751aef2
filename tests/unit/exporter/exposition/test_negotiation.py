# SPDX-License-Identifier: Apache-2.0
"""Content negotiation: OpenMetrics and gzip."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.exposition import negotiation
from probed.exporter.exposition.negotiation import OPENMETRICS, OPENMETRICS_0_0_1, TEXT, Format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
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
        ("application/openmetrics-text", OPENMETRICS),
        ("APPLICATION/OpenMetrics-Text ; Version=1.0.0", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.0,*/*", TEXT),
        ("application/openmetrics-text;q=0.1,text/plain", TEXT),
        ("text/plain;q=0.1,application/openmetrics-text;q=0.2", OPENMETRICS),
        ("text/plain,application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;q=high,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=7", TEXT),
        ("text/plain;q=0", TEXT),
        (",;,=;q", TEXT),
    ],
)
def test_the_format_follows_accept(accept: str, expected: Format) -> None:
    assert negotiation.choose(accept) is expected


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
