# SPDX-License-Identifier: Apache-2.0
"""A storm leaves rows in the log, once for a unit; quiet units leave none, and the kernel keeps nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from probed.linux import bpf
from support.cgroup2 import Cgroups, start_in
from support.kernel_fixtures import Install, Start
from support.processes import bpf_program_ids
from support.running_daemon import Daemon, site, until
from support.workload_programs import fresh_letters

ROWS = 23
SAMPLES = "probed_evidence_samples_total"
SECRET = "hunter2-hunter2"

ENDLESS = str(1 << 30)
"""Runs of a workload that the test ends."""


def evidence_site(**more: Any) -> dict[str, Any]:
    return site(
        {"cgroups": {}, "process": {}, "open_failures": {}}, log={"format": "json"}, evidence={"rows": ROWS, **more}
    )


def rows(daemon: Daemon, unit: str) -> list[dict[str, Any]]:
    """Return the rows of a unit in the log."""
    lines = [json.loads(line) for line in daemon.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("unit") == unit and "evidence_of" in line]


def suppressed(daemon: Daemon, reason: str) -> float:
    return daemon.scrape().value("probed_evidence_suppressed_total", reason=reason)


@pytest.fixture(scope="module")
def watching(
    request: pytest.FixtureRequest, objects: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """One daemon by a loader, `core` unless asked, for the tests of units that are independent of each other."""
    loader = getattr(request, "param", "core")
    configuration = evidence_site(units=100) | {"loader": loader, "probe_directories": [str(objects)]}
    with Daemon(tmp_path_factory.mktemp("evidence"), configuration) as running:
        yield running.wait_until_ready()


by_both_loaders = pytest.mark.parametrize("watching", ["bcc", "core"], indirect=True)


def wait_for_sample(daemon: Daemon, unit: str) -> list[dict[str, Any]]:
    """Wait for the rows of a unit; return them."""
    until(lambda: len(rows(daemon, unit)) >= ROWS, f"there are rows of {unit}")
    return rows(daemon, unit)


@contextmanager
def storm(*command: str | Path, cwd: Path | None = None) -> Iterator[str]:
    """Run a command in a unit of its own; yield the unit's name."""
    unit = f"test-{fresh_letters()}.service"
    with Cgroups() as made, start_in(made.make(f"system.slice/{unit}"), *command, cwd=cwd) as process:
        yield unit
        process.kill()


@by_both_loaders
def test_a_storm_of_starts_leaves_one_sample_with_arguments_and_no_secret(watching: Daemon, install: Install) -> None:
    program, spawner, before = install("exits"), install("spawn"), suppressed(watching, "unit")
    with storm(spawner, ENDLESS, program, "--password", SECRET, "last") as unit:
        wait_for_sample(watching, unit)
        until(lambda: suppressed(watching, "unit") > before + 1, "the storm that goes on is suppressed")
    found = rows(watching, unit)
    assert len(found) == ROWS
    assert {(row["comm"], row["parent"], row["result"], row["argv"], row["evidence_of"]) for row in found} == {
        (program.name, spawner.name, "0", f"{program} --password *** last", "starts")
    }
    assert SECRET not in watching.log()


def test_the_landing_page_has_the_latest_unit_and_no_argument(watching: Daemon, install: Install) -> None:
    program, spawner = install("exits"), install("spawn")
    with storm(spawner, ENDLESS, program) as unit:
        until(lambda: f"{ROWS} rows of <b>{unit}</b>, rule starts" in watching.get("/")[1].decode(), "the page has it")
    assert str(program) not in watching.get("/")[1].decode()
    page = watching.scrape()
    assert page.value("probed_evidence_rows_total") == ROWS * page.value(SAMPLES)


@by_both_loaders
def test_a_storm_of_failed_opens_leaves_rows_with_paths(watching: Daemon, install: Install, tmp_path: Path) -> None:
    opener = install("fail_opens")
    with storm(opener, "openat", "ENOENT", ENDLESS, cwd=tmp_path) as unit:
        found = wait_for_sample(watching, unit)
    assert len(found) == ROWS
    assert {(row["comm"], row["result"], row["argv"], row["evidence_of"]) for row in found} == {
        (opener.name, "ENOENT", "absent/file", "failed_opens")
    }


@by_both_loaders
def test_a_storm_of_forks_without_exec_leaves_rows(watching: Daemon) -> None:
    with storm("sh", "-c", "while :; do (:); done") as unit:
        found = wait_for_sample(watching, unit)
    assert len(found) == ROWS
    assert {(row["comm"], row["argv"], row["evidence_of"]) for row in found} == {("sh", "fork", "starts")}
    assert len({row["result"] for row in found}) == ROWS


def test_a_unit_below_the_rate_leaves_nothing_beside_a_storm(watching: Daemon, install: Install) -> None:
    program, spawner, calm, before = install("exits"), install("spawn"), install("exits"), suppressed(watching, "unit")
    with storm("sh", "-c", f"while :; do {calm}; sleep 0.1; done") as quiet, storm(spawner, ENDLESS, program) as loud:
        wait_for_sample(watching, loud)
        until(lambda: suppressed(watching, "unit") > before + 1, "further watches find the storm alone")
    assert rows(watching, quiet) == []
    assert calm.name not in watching.log()


def test_evidence_changes_no_count(watching: Daemon, install: Install) -> None:
    program, spawns = install("exits"), 20_011
    with storm(install("spawn"), str(spawns), program):
        until(lambda: watching.scrape().total("probed_process_execs_total", comm=program.name) >= spawns, "all count")
    page = watching.scrape()
    assert page.total("probed_process_execs_total", comm=program.name) == spawns
    for probe in ("process", "open_failures"):
        assert (page.lost(probe), page.value("probed_events_unaccounted", probe=probe)) == (0, 0)
        assert page.emitted(probe) == page.accounted(probe)


def test_more_units_than_the_site_allows_leave_no_rows(start: Start, install: Install) -> None:
    daemon, program, spawner = start(evidence_site(units=1)), install("exits"), install("spawn")
    with storm(spawner, ENDLESS, program) as unit:
        wait_for_sample(daemon, unit)
    with storm(spawner, ENDLESS, program) as other:
        until(lambda: suppressed(daemon, "units"), "the other unit is suppressed")
    assert rows(daemon, other) == []


def test_a_site_without_evidence_takes_none(start: Start, install: Install) -> None:
    daemon = start(site({"cgroups": {}, "process": {}}))
    subprocess.run([install("spawn"), "5003", install("exits")], check=True, stdout=subprocess.DEVNULL)
    assert daemon.scrape().value(SAMPLES) == 0
    assert "evidence_of" not in daemon.log()


def sampler(daemon: Daemon) -> int:
    """Return the id of the sampler process, 0 without one."""
    return next((pid for pid, line in daemon.children().items() if "probed.evidence" in line), 0)


def lives(program: int) -> bool:
    """Say whether the kernel has a BPF program of this id."""
    try:
        os.close(bpf.program_fd(program))
    except FileNotFoundError:
        return False
    return True


def test_a_killed_sampler_leaves_nothing_in_the_kernel_and_counts_as_a_failure(start: Start, install: Install) -> None:
    daemon, program = start(evidence_site(rows=1000, rules={"starts": 5})), install("exits")
    programs = set[int]()

    def is_attached() -> bool:
        pid = sampler(daemon)
        with suppress(FileNotFoundError):  # the sampler has ended
            programs.update(bpf_program_ids(pid) if pid else ())
        return bool(programs)

    with storm("sh", "-c", f"while :; do {program}; sleep 0.005; done"):
        until(is_attached, "the sampler's programs are loaded")
        os.kill(sampler(daemon), signal.SIGKILL)
        until(lambda: not any(map(lives, programs)), "the kernel to free the programs")
    page = daemon.scrape()
    assert page.value("probed_evidence_failures_total") == 1
    assert page.value("probed_probe_up", probe="process") == 1
