# SPDX-License-Identifier: Apache-2.0
"""The first page of a real daemon, and the verdict of Prometheus' tools."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from probed.errors import REASONS
from support.running_daemon import SHIPPED, Daemon, Page, site

REFERENCE = Path(__file__).parents[2] / "docs/metrics.md"
ALWAYS_THERE = (
    "probed_build_info",
    "probed_config_last_reload_success_timestamp_seconds",
    "probed_config_last_reload_successful",
    "probed_drains_total",
    "probed_opens_total",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)
FOR_EACH_PROBE = (
    "probed_probe_up",
    "probed_events_emitted_total",
    "probed_events_delivered_total",
    "probed_probe_start_time_seconds",
)
FOR_EACH_RING = ("probed_ring_bytes", "probed_ring_fill_bytes", "probed_ring_fill_max_bytes")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The first scrape of a daemon with the shipped probes."""
    with Daemon(tmp_path_factory.mktemp("first"), site()) as daemon:
        return daemon.wait_until_ready().scrape()


def series(page: Page, name: str, label: str) -> set[str]:
    return {dict(labels)[label] for found, labels in page if found == name}


@pytest.mark.parametrize("name", ALWAYS_THERE)
def test_the_first_page_has_every_series_known_in_advance(first: Page, name: str) -> None:
    assert name in {found for found, _ in first}


@pytest.mark.parametrize("name", FOR_EACH_PROBE)
def test_every_probe_has_its_own_metrics(first: Page, name: str) -> None:
    assert series(first, name, "probe") == set(SHIPPED)


@pytest.mark.parametrize("name", FOR_EACH_RING)
def test_every_ring_has_its_own_metrics(first: Page, name: str) -> None:
    assert series(first, name, "probe") == {"cgroups", "process", "open_failures"}


def test_every_metric_is_in_the_reference(daemon: Daemon) -> None:
    _, body = daemon.get("/metrics")
    served = set(re.findall(r"^# TYPE (\S+) ", body.decode(), re.MULTILINE))
    documented = set(re.findall(r"^\| `(\S+)`", REFERENCE.read_text(), re.MULTILINE))
    assert served
    assert served <= documented


def test_every_reason_of_failure_starts_at_0(first: Page) -> None:
    for probe in SHIPPED:
        for reason in REASONS:
            key = "probed_probe_load_failures_total", frozenset({("probe", probe), ("reason", reason)})
            assert first[key] == 0


def test_every_reason_of_loss_starts_at_0(first: Page) -> None:
    assert series(first, "probed_events_lost_total", "probe") == set(SHIPPED)
    assert first.total("probed_events_lost_total") == 0


def test_promtool_finds_no_fault(daemon: Daemon) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed: apt install prometheus")
    _, body = daemon.get("/metrics")
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_the_page_is_openmetrics_when_asked(daemon: Daemon) -> None:
    status, body = daemon.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"probed_process_execs", "probed_process_lifetime_seconds", "probed_syscalls"} <= names


def test_the_page_is_compressed_when_asked(daemon: Daemon) -> None:
    _, body = daemon.get("/metrics", **{"Accept-Encoding": "gzip"})
    assert "probed_build_info" in gzip.decompress(body).decode()


def test_only_requested_metrics_are_served(daemon: Daemon) -> None:
    _, body = daemon.get("/metrics?name[]=probed_opens_total&name[]=probed_probe_up")
    assert {name for name, _ in Page.parse(body.decode())} == {"probed_opens_total", "probed_probe_up"}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/-/healthy", 200), ("/-/ready", 200), ("/metrics/", 404), ("/debug/pprof", 404)],
)
def test_a_path_is_a_page_or_not_found(daemon: Daemon, path: str, status: int) -> None:
    assert daemon.get(path)[0] == status
