# SPDX-License-Identifier: Apache-2.0
"""Metrics of the HTTP server."""

from __future__ import annotations

from probed.exporter.http_server.server import ServerStats
from probed.exporter.self_metrics import http
from probed.exporter.self_metrics.metric import families
from support.unit.probe_stats import series


def test_the_servers_numbers_are_on_the_page() -> None:
    found = families(http.METRICS, ServerStats({200: 7, 503: 0}, connections=3, dropped=11))
    assert series(found, "probed_http_responses_total") == {("200",): 7, ("503",): 0}
    assert series(found, "probed_http_clients") == {(): 3}
    assert series(found, "probed_http_clients_dropped_total") == {(): 11}
