# SPDX-License-Identifier: Apache-2.0
"""SIGHUP loads changed probes, unchanged ones count on, and a mistake changes nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.kernel_fixtures import Install, Start
from support.processes import bpf_program_ids
from support.running_daemon import Daemon, Page, site, until

EXECS = "probed_process_execs_total"
FAILURES = "probed_open_failures_total"
LIFETIME = "probed_process_lifetime_seconds"
LOAD_FAILURES = "probed_probe_load_failures_total"
SUCCESSFUL = "probed_config_last_reload_successful"

NEW_BUCKETS = {"metrics": {LIFETIME: {"buckets": [0.5, 1, 7]}}}


def spawn(install: Install, times: int, program: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([install("spawn"), str(times), program], stdout=subprocess.DEVNULL)


def bounds(page: Page) -> set[float]:
    return {float(dict(labels)["le"]) for name, labels in page if name == f"{LIFETIME}_bucket"}


@pytest.fixture
def counting(start: Start, install: Install, tmp_path: Path) -> tuple[Daemon, Path, Path]:
    """A daemon with two probes of which each has counted 101 events, and the two programs."""
    daemon = start(site({"process": None, "open_failures": None}))
    exits, opens = install("exits"), install("fail_opens")
    spawn(install, 101, exits).wait()
    subprocess.run([opens, "openat", "ENOENT", "101"], cwd=tmp_path, check=True)
    return daemon, exits, opens


def counts(page: Page, exits: Path, opens: Path) -> tuple[float, float]:
    return page.total(EXECS, comm=exits.name), page.total(FAILURES, comm=opens.name)


def test_a_reload_without_a_change_touches_nothing(counting: tuple[Daemon, Path, Path]) -> None:
    daemon, *programs = counting
    held, exporter = bpf_program_ids(daemon.supervisor), daemon.exporter
    assert held
    page = daemon.reload()
    assert page.value(SUCCESSFUL) == 1
    assert counts(page, *programs) == (101, 101)
    assert (bpf_program_ids(daemon.supervisor), daemon.exporter) == (held, exporter)


def test_other_buckets_touch_only_their_probe(counting: tuple[Daemon, Path, Path], install: Install) -> None:
    daemon, *programs = counting
    exporter = daemon.exporter
    page = daemon.reload(site({"process": NEW_BUCKETS, "open_failures": None}))
    assert counts(page, *programs) == (0, 101)
    spawn(install, 103, programs[0]).wait()
    page = daemon.scrape()
    assert counts(page, *programs) == (103, 101)
    assert bounds(page) == {0.5, 1, 7, float("inf")}
    assert daemon.exporter == exporter


def test_an_unchanged_probe_misses_no_event_of_a_reload(counting: tuple[Daemon, Path, Path], install: Install) -> None:
    daemon, exits, _ = counting
    busy = spawn(install, 5_003, exits)
    daemon.reload(site({"process": None, "open_failures": {"ring": {"bytes": "1 MiB"}}}))
    busy.wait()
    assert daemon.scrape().total(EXECS, comm=exits.name) == 101 + 5_003


@pytest.mark.parametrize(
    "mistake",
    [
        {"probes": 3},
        site({"proces": None}),
        site({"process": {"metrics": {LIFETIME: {"buckets": [2, 1]}}}}),
        site({"process": None}, [Path("/nonexistent")]),
        site({"process": None}, exporter={"user": "no-such-user"}),
    ],
    ids=["shape", "name", "buckets", "directory", "user"],
)
def test_a_mistake_leaves_everything_running(
    counting: tuple[Daemon, Path, Path], install: Install, mistake: dict[str, Any]
) -> None:
    daemon, *programs = counting
    good = daemon.configuration.read_text()
    page = daemon.reload(mistake)
    assert page.value(SUCCESSFUL) == 0
    assert str(daemon.configuration) in daemon.log()
    spawn(install, 103, programs[0]).wait()
    assert counts(daemon.scrape(), *programs) == (101 + 103, 101)
    daemon.configuration.write_text(good)
    page = daemon.reload()
    assert page.value(SUCCESSFUL) == 1
    assert counts(page, *programs) == (101 + 103, 101)


def test_a_probe_can_go_and_come(counting: tuple[Daemon, Path, Path], install: Install) -> None:
    daemon, *programs = counting
    gone = daemon.reload(site({"process": None}))
    assert {name for name, _ in gone if name.startswith("probed_open")} == set()
    assert gone.by("probe", "probed_probe_up") == {"process": 1}
    assert counts(gone, *programs) == (101, 0)
    come = daemon.reload(site({"process": None, "open_failures": None, "syscalls": None}))
    assert come.by("probe", "probed_probe_up") == {"process": 1, "open_failures": 1, "syscalls": 1}
    assert counts(come, *programs) == (101, 0)
    assert come.value("probed_syscalls_total", syscall="read") > 0


def test_a_removed_probe_leaves_no_descriptor(counting: tuple[Daemon, Path, Path]) -> None:
    daemon, *_ = counting
    before = bpf_program_ids(daemon.supervisor)
    daemon.reload(site({"process": None}))
    remaining = bpf_program_ids(daemon.supervisor)
    assert remaining < before
    daemon.reload(site({"process": None, "open_failures": None}))
    until(lambda: len(bpf_program_ids(daemon.supervisor)) == len(before), "as many programs as before")
    assert remaining < bpf_program_ids(daemon.supervisor)


def test_missing_types_cost_only_the_probes_that_load(tmp_path: Path) -> None:
    btf = tmp_path / "vmlinux"
    shutil.copyfile("/sys/kernel/btf/vmlinux", btf)
    with Daemon(tmp_path, site({"process": None}), ["--kernel.btf", str(btf)]) as daemon:
        daemon.wait_until_ready()
        btf.rename(tmp_path / "gone")
        daemon.reload(site({"process": NEW_BUCKETS, "open_failures": None}))
        until(lambda: daemon.scrape().total(LOAD_FAILURES) == 2, "both have failed")
        page = daemon.scrape()
        assert page.by("reason", LOAD_FAILURES) == {"no_btf": 2}
        assert page.by("probe", "probed_probe_up") == {"process": 1}
        (tmp_path / "gone").rename(btf)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "reloaded: 2 of 2 probes up" in daemon.log(), "the reload, not a later retry, has loaded both")
        until(lambda: daemon.scrape().total("probed_probe_up") == 2, "both are up")
        page = daemon.scrape()
        assert bounds(page) == {0.5, 1, 7, float("inf")}
        assert page.total(LOAD_FAILURES) == 2
