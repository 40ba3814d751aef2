# SPDX-License-Identifier: Apache-2.0
"""Metrics of the HTTP server."""

from __future__ import annotations

import numpy as np

from probed.exporter.exposition.family import Family, one
from probed.exporter.http_server.server import ServerStats


def families(stats: ServerStats) -> list[Family]:
    """Return the server's families."""
    return [
        Family(
            name="probed_http_responses_total",
            type="counter",
            help="Responses by HTTP status.",
            label_names=("code",),
            labels=[(str(code),) for code in stats.responses],
            values=np.array(list(stats.responses.values()), np.uint64),
        ),
        one("gauge", "probed_http_clients", "Connections of clients.", stats.connections),
        one(
            "counter",
            "probed_http_clients_dropped_total",
            "Connections that were closed to make room for others, or because their answers were not taken.",
            stats.dropped,
        ),
    ]
