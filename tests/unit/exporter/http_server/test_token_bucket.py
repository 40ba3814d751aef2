# SPDX-License-Identifier: Apache-2.0
"""The token bucket, with a clock of the test."""

from __future__ import annotations

from probed.exporter.http_server.token_bucket import TokenBucket


def test_a_bucket_admits_its_burst_then_one_request_each_interval() -> None:
    now = [0.0]
    bucket = TokenBucket(0.5, 3, lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    now[0] += 1.25
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] += 1000
    assert sum(bucket.take() for _ in range(10)) == 3


def test_no_interval_is_no_limit() -> None:
    assert all(TokenBucket(0.0, 0).take() for _ in range(100))
