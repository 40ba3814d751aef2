# SPDX-License-Identifier: Apache-2.0
"""When a newer version of a probe fails to load, the older one counts on until a good one loads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.faulty_daemon import OWN_PROBES, SUCCESSFUL, FastDaemon, StartFast, calls, ours
from support.running_daemon import until
from support.workload_programs import Install

MISFIT = "probed_misfit_calls_total"
EVENT = "100201"
FAULTS = {
    "verifier": ("misfit.bpf.c", "if (!event)", "if (longer.more)", "the kernel's verifier refuses program 'on_enter'"),
    "attach_point": ("misfit.yaml", "sys_enter", "sys_gone", "no raw tracepoint 'sys_gone'"),
    "compile": ("misfit.bpf.c", "struct longer longer", "struct gone longer", "misfit.bpf.c:"),
}
"""By reason: the file, the text to replace, its replacement, and the expected message."""


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A copy of a probe that the test may edit."""
    return Path(shutil.copytree(OWN_PROBES / "misfit", tmp_path / "probes" / "misfit"))


@pytest.fixture
def daemon(start_fast: StartFast, probe: Path) -> FastDaemon:
    configuration = ours("process", "misfit")
    configuration["probe_directories"].insert(0, str(probe.parent))
    return start_fast(configuration)


@pytest.mark.parametrize("reason", FAULTS)
def test_the_older_version_goes_on(daemon: FastDaemon, probe: Path, install: Install, reason: str) -> None:
    program = install("calls")
    calls(program, EVENT, "101")
    file, good, bad, said = FAULTS[reason]
    text = (probe / file).read_text()
    (probe / file).write_text(text.replace(good, bad))
    daemon.hang_up()
    until(lambda: daemon.failures("misfit").get(reason), "the page says so")
    assert said in daemon.log()
    until(lambda: daemon.scrape().value(SUCCESSFUL) == 0, "the page says that the reload failed")
    calls(program, EVENT, "103")
    page = daemon.scrape()
    assert page.value("probed_probe_up", probe="misfit") == 1
    assert page.by("comm", MISFIT) == {program.name: 101 + 103}

    (probe / file).write_text(text.replace("A ring", "Again a ring") + "\n")
    page = daemon.reload()
    assert page.value(SUCCESSFUL) == 1
    calls(program, EVENT, "107")
    assert daemon.scrape().by("comm", MISFIT) == {program.name: 107}
