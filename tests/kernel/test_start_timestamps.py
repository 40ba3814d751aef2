# SPDX-License-Identifier: Apache-2.0
"""A series' start timestamp is before its first event, and stays when the supervisor replaces the exporter."""

from __future__ import annotations

import subprocess
import time

from support.kernel_fixtures import Install, Start
from support.running_daemon import Daemon, until

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
EXECS = "probed_process_execs"
LIFETIME = "probed_process_lifetime_seconds"


def starts(daemon: Daemon, name: str, comm: str) -> list[float]:
    """Return the start timestamps of a metric's series of a program."""
    status, page = daemon.get("/metrics?created=1", Accept=OPENMETRICS)
    assert status == 200
    lines = [line for line in page.decode().splitlines() if line.startswith(f"{name}_created{{")]
    return [float(line.rpartition(" ")[2]) for line in lines if f'comm="{comm}"' in line]


def all_starts(daemon: Daemon) -> dict[str, float]:
    """Return all start timestamps by series."""
    status, page = daemon.get("/metrics?created=1", Accept=OPENMETRICS)
    assert status == 200
    lines = (line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#"))
    return {series: float(start) for series, _, start in lines if series.partition("{")[0].endswith("_created")}


def test_a_series_starts_before_its_first_event_and_after_the_drain_before(start: Start, install: Install) -> None:
    daemon, program = start(), install("lives")
    before = time.time()
    daemon.scrape()
    began = time.time()
    subprocess.run([program, "1"], check=True)
    found = starts(daemon, EXECS, program.name) + starts(daemon, LIFETIME, program.name)
    assert len(found) == 2
    assert all(before - 1 <= each <= began for each in found)
    daemon.scrape()
    subprocess.run([program, "1"], check=True)
    assert starts(daemon, EXECS, program.name) + starts(daemon, LIFETIME, program.name) == found


def test_starts_stay_when_the_exporter_is_replaced(start: Start, install: Install) -> None:
    daemon, program = start(), install("lives")
    subprocess.run([program, "1"], check=True)
    found = starts(daemon, EXECS, program.name)
    assert len(found) == 1
    killed = daemon.exporter
    daemon.kill_exporter()
    until(lambda: daemon.exporter not in (0, killed) and daemon.is_ready(), "another exporter serves")
    assert starts(daemon, EXECS, program.name) == found


def test_counters_of_a_process_start_with_the_process_and_those_of_a_probe_with_the_probe(start: Start) -> None:
    daemon = start()
    before = all_starts(daemon)
    killed = daemon.exporter
    daemon.kill_exporter()
    until(lambda: daemon.exporter not in (0, killed) and daemon.is_ready(), "another exporter serves")
    after = all_starts(daemon)
    in_memory = ["probed_drains_created", "process_cpu_seconds_created", 'probed_http_responses_created{code="200"}']
    assert all(after[series] > before[series] for series in in_memory)
    kept = ['probed_events_emitted_created{probe="process"}', "probed_exporter_restarts_created"]
    assert [after[series] for series in kept] == [before[series] for series in kept]
