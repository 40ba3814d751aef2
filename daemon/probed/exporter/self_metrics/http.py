# SPDX-License-Identifier: Apache-2.0
"""Self metrics of the HTTP server."""

from __future__ import annotations

from probed.exporter.http_server.server import ServerStats
from probed.exporter.self_metrics.metric import SelfMetric


def _start(stats: ServerStats, _: tuple[str, ...]) -> float:
    return stats.begun


METRICS: tuple[SelfMetric[ServerStats], ...] = (
    SelfMetric(
        "probed_http_responses_total", "counter", ("code",), "responses",
        "Responses by HTTP status.", "each response",
        lambda stats: {(str(code),): count for code, count in stats.responses.items()}, _start,
    ),
    SelfMetric(
        "probed_http_clients", "gauge", (), "connections",
        "Open connections of clients.", "a connection that opens or closes",
        lambda stats: {(): stats.connections},
    ),
    SelfMetric(
        "probed_http_clients_dropped_total", "counter", (), "connections",
        "Connections closed to make room for others, or because the client did not read its responses.",
        "a connection above the limit, or 16 MiB of responses that clients do not read",
        lambda stats: {(): stats.dropped}, _start,
    ),
)  # fmt: skip
