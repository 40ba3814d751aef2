# SPDX-License-Identifier: Apache-2.0
"""A storm leaves rows in the log, once for each unit; quiet units leave none, and nothing stays in the kernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from probed.linux import bpf
from support.cgroup2 import Cgroups, start_in
from support.kernel_fixtures import Install, Start
from support.running_daemon import Daemon, bpf_program_ids, site, until
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


@contextmanager
def storm(*command: str | Path, cwd: Path | None = None) -> Iterator[str]:
    """Run a command in a unit of its own; yield the unit's name."""
    unit = f"test-{fresh_letters()}.service"
    with Cgroups() as made, start_in(made.make(f"system.slice/{unit}"), *command, cwd=cwd) as process:
        yield unit
        process.kill()


def test_a_storm_of_starts_leaves_rows_with_arguments_and_no_secret(start: Start, install: Install) -> None:
    daemon, program, spawner = start(evidence_site()), install("exits"), install("spawn")
    with storm(spawner, ENDLESS, program, "--password", SECRET, "last") as unit:
        until(lambda: daemon.scrape().value(SAMPLES), "a sample is taken")
    found = rows(daemon, unit)
    assert len(found) == ROWS
    assert {(row["comm"], row["parent"], row["result"], row["argv"], row["evidence_of"]) for row in found} == {
        (program.name, spawner.name, "0", f"{program} --password *** last", "starts")
    }
    assert SECRET not in daemon.log()
    page = daemon.get("/")[1].decode()
    assert f"{ROWS} rows of <b>{unit}</b>, rule starts" in page
    assert str(program) not in page
    assert daemon.scrape().value("probed_evidence_rows_total") == ROWS


def test_a_storm_of_failed_opens_leaves_rows_with_paths(start: Start, install: Install, tmp_path: Path) -> None:
    daemon, opener = start(evidence_site()), install("fail_opens")
    with storm(opener, "openat", "ENOENT", ENDLESS, cwd=tmp_path) as unit:
        until(lambda: daemon.scrape().value(SAMPLES), "a sample is taken")
    found = rows(daemon, unit)
    assert len(found) == ROWS
    assert {(row["comm"], row["result"], row["argv"], row["evidence_of"]) for row in found} == {
        (opener.name, "ENOENT", "absent/file", "failed_opens")
    }


def test_a_second_storm_of_a_unit_leaves_no_rows(start: Start, install: Install) -> None:
    daemon, program, spawner = start(evidence_site()), install("exits"), install("spawn")
    with storm(spawner, ENDLESS, program) as unit:
        until(lambda: suppressed(daemon, "unit") > 1, "the storm that goes on is suppressed")
    assert len(rows(daemon, unit)) == ROWS
    assert daemon.scrape().value(SAMPLES) == 1


def test_more_units_than_the_site_allows_leave_no_rows(start: Start, install: Install) -> None:
    daemon, program, spawner = start(evidence_site(units=1)), install("exits"), install("spawn")
    with storm(spawner, ENDLESS, program):
        until(lambda: daemon.scrape().value(SAMPLES), "a sample is taken")
    with storm(spawner, ENDLESS, program) as other:
        until(lambda: suppressed(daemon, "units"), "the other unit is suppressed")
    assert rows(daemon, other) == []


def test_units_below_the_rate_leave_nothing_beside_a_storm(start: Start, install: Install) -> None:
    daemon, program, spawner = start(evidence_site()), install("exits"), install("spawn")
    calm = install("exits")
    with storm("sh", "-c", f"while :; do {calm}; sleep 0.1; done") as quiet, storm(spawner, ENDLESS, program):
        until(lambda: daemon.scrape().value(SAMPLES), "a sample is taken")
        until(lambda: suppressed(daemon, "unit") > 1, "further watches find the storm alone")
    assert rows(daemon, quiet) == []
    assert calm.name not in daemon.log()


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


def test_evidence_changes_no_count(start: Start, install: Install) -> None:
    daemon, program, spawns = start(evidence_site()), install("exits"), 20_011
    with storm(install("spawn"), str(spawns), program):
        until(lambda: daemon.scrape().total("probed_process_execs_total", comm=program.name) >= spawns, "all count")
    page = daemon.scrape()
    assert page.total("probed_process_execs_total", comm=program.name) == spawns
    for probe in ("process", "open_failures"):
        assert (page.lost(probe), page.value("probed_events_unaccounted", probe=probe)) == (0, 0)
        assert page.emitted(probe) == page.accounted(probe)
