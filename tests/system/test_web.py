# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes over mutual TLS with a password, also after both changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.guarded_daemon import USER, Guarded
from support.monitoring.prometheus_server import Prometheus, prometheus
from support.running_daemon import site, until

SCRAPE = "1s"


def job(guarded: Guarded) -> Mapping[str, Any]:
    """Return the scrape configuration of Prometheus."""
    password = guarded.folder / "password"
    password.write_text(guarded.password)
    tls = {
        "ca_file": str(guarded.authority.certificate), "cert_file": str(guarded.client.certificate),
        "key_file": str(guarded.client.key), "server_name": "localhost",
    }  # fmt: skip
    return {
        "job_name": "probed", "scheme": "https", "scrape_interval": SCRAPE, "scrape_timeout": SCRAPE,
        "tls_config": tls, "basic_auth": {"username": USER, "password_file": str(password)},
        "static_configs": [{"targets": [f"127.0.0.1:{guarded.port}"]}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with Guarded(folder, site({"process": None}), password="first", mutual=True) as running:
        yield running


@pytest.fixture(scope="module")
def scraping(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    configuration = {"scrape_configs": [job(guarded)]}
    with prometheus(tmp_path_factory.mktemp("prometheus"), configuration) as running:
        yield running.wait_until_scraped()


def test_a_real_prometheus_scrapes_over_mutual_tls_with_a_password(guarded: Guarded, scraping: Prometheus) -> None:
    until(lambda: scraping.value('up{job="probed"}') == 1, "it is scraped")
    until(lambda: scraping.value('probed_http_responses_total{code="200"}') > 0, "its pages are kept")
    assert scraping.value('probed_http_responses_total{code="401"}') == 0


def test_only_root_can_read_the_key(guarded: Guarded, scraping: Prometheus) -> None:
    key = guarded.folder / "server.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_uid) == (0o600, 0)
    assert "Uid:\t0" not in Path(f"/proc/{guarded.exporter}/status").read_text()


def test_certificate_and_password_change_without_a_restart(guarded: Guarded, scraping: Prometheus) -> None:
    exporter = guarded.exporter
    newer = guarded.authority.sign("newer", "DNS:localhost", "IP:127.0.0.1")
    newer.certificate.rename(guarded.folder / "server.pem")
    newer.key.rename(guarded.folder / "server.key")
    guarded.configure_web("second")
    until(lambda: scraping.value('up{job="probed"}') == 0, "the old password is refused")
    (guarded.folder / "password").write_text("second")
    until(lambda: scraping.value('up{job="probed"}') == 1, "the new one is taken")
    assert scraping.value("probed_web_config_last_reload_successful") == 1
    assert guarded.exporter == exporter


def test_a_reload_by_http_is_answered_when_it_has_ended(guarded: Guarded, scraping: Prometheus) -> None:
    assert guarded.post("/-/reload", "wrong")[0] == 401
    assert guarded.post("/-/reload", "second") == (200, "reloaded\n")
    good = guarded.configuration.read_text()
    guarded.configuration.write_text(good.replace("probes:", "probs:"))
    status, body = guarded.post("/-/reload", "second")
    assert (status, "did you mean 'probes'" in body) == (500, True), body
    guarded.configuration.write_text(good)
    assert guarded.post("/-/reload", "second") == (200, "reloaded\n")


def test_a_broken_web_configuration_leaves_the_old_in_force(guarded: Guarded, scraping: Prometheus) -> None:
    good = (guarded.folder / "web.yaml").read_text()
    (guarded.folder / "web.yaml").write_text(good.replace("cert_file", "cert_fil"))
    until(lambda: scraping.value("probed_web_config_last_reload_successful") == 0, "it was refused")
    assert scraping.value('up{job="probed"}') == 1
    assert "did you mean 'cert_file'" in guarded.log()
    (guarded.folder / "web.yaml").write_text(good)
    until(lambda: scraping.value("probed_web_config_last_reload_successful") == 1, "it is right again")
