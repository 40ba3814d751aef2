# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus takes a page of a real daemon, whole."""

from __future__ import annotations

from pathlib import Path

from support.monitoring.prometheus_server import prometheus
from support.running_daemon import Daemon, site, until


def test_prometheus_takes_every_sample_of_a_page(tmp_path: Path) -> None:
    with Daemon(tmp_path, site()) as daemon:
        daemon.wait_until_ready()
        targets = [{"targets": [f"127.0.0.1:{daemon.port}"]}]
        job = {"job_name": "probed", "scrape_interval": "1s", "static_configs": targets}
        with prometheus(tmp_path / "prometheus", {"scrape_configs": [job]}) as server:
            server.wait_until_scraped()
            until(lambda: server.value("scrape_samples_scraped") > 0, "the first page is stored")
            assert server.value("scrape_samples_scraped - scrape_samples_post_metric_relabeling") == 0
            assert server.value("min(probed_probe_up)") == 1
