# SPDX-License-Identifier: Apache-2.0
"""A faulty probe costs only itself: the others run, and metric, page and log give the reason."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernel_fixtures import OWN_PROBES, Install
from support.running_daemon import PROBES, Daemon, run_to_its_end, site

FAULTS = {"refused": "verifier", "garbled": "compile", "nowhere": "attach_point"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with one good probe among faulty ones."""
    probes = dict.fromkeys(["refused", "garbled", "process", "nowhere"])
    with Daemon(tmp_path_factory.mktemp("faulty"), site(probes, [PROBES, OWN_PROBES])) as running:
        yield running.wait_until_ready()


def test_the_good_probe_counts(daemon: Daemon, install: Install) -> None:
    program = install("exits")
    subprocess.run([install("spawn"), "1009", program], check=True, stdout=subprocess.DEVNULL)
    page = daemon.scrape()
    assert page.by("probe", "probed_probe_up") == {"process": 1}
    assert page.total("probed_process_execs_total", comm=program.name) == 1_009


@pytest.mark.parametrize("probe", FAULTS)
def test_the_reason_is_a_metric(daemon: Daemon, probe: str) -> None:
    page = daemon.scrape()
    assert ("probed_probe_up", frozenset({("probe", probe)})) in page
    assert list(page.by("reason", "probed_probe_load_failures_total", probe=probe)) == [FAULTS[probe]]


@pytest.mark.parametrize("probe", FAULTS)
def test_the_reason_is_on_the_landing_page(daemon: Daemon, probe: str) -> None:
    status, body = daemon.get("/")
    assert status == 200
    assert FAULTS[probe] in body.decode().split(probe, 1)[1]


def test_the_log_names_the_line_that_does_not_compile(daemon: Daemon) -> None:
    assert f"{OWN_PROBES}/garbled/garbled.bpf.c:8: use of undeclared identifier" in daemon.log()


def test_the_log_has_the_verifiers_message(daemon: Daemon) -> None:
    line = next(line for line in daemon.log().splitlines() if "probe 'refused'" in line)
    assert "program 'on_event'" in line
    assert "map_value_or_null" in line
    assert "refused.bpf.c:" in line


def test_the_log_suggests_a_near_tracepoint(daemon: Daemon) -> None:
    line = next(line for line in daemon.log().splitlines() if "'sched_proces_exec'" in line)
    assert f"{OWN_PROBES}/nowhere/nowhere.yaml:4" in line
    assert "near names: sched_process_exec" in line


def test_an_attach_point_that_the_kernel_lacks_is_told_before_the_structs_of_its_arguments(tmp_path: Path) -> None:
    for name, parent in (("include", PROBES), ("nowhere", OWN_PROBES)):
        shutil.copytree(parent / name, tmp_path / name)
    source = tmp_path / "nowhere/nowhere.bpf.c"
    read = "return READ((struct of_a_later_kernel *)ctx->args[0], member);"
    source.write_text(source.read_text().replace("return 0;", read))
    status, text = run_to_its_end("check", "--host", "--loader", "bcc", str(tmp_path / "nowhere"))
    assert status == 1
    assert "nowhere.yaml:4: programs.on_event.raw_tracepoint" in text
    assert "of_a_later_kernel" not in text
