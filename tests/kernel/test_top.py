# SPDX-License-Identifier: Apache-2.0
"""`probed top` with a real daemon: exact counts, in a terminal, without privilege."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from probed.client import metrics_page
from probed.commands.top.activity import Activity, activity
from probed.commands.top.command import read_page
from probed.commands.top.readings import PageParser
from probed.webconfig.listen_address import Address
from support.kernel_fixtures import NOBODY, Install, Start
from support.running_daemon import Daemon, command, run_to_its_end, until
from support.top.terminal import TmuxTerminal, terminal

SPAWNS = 97
FAILURES = 1_009


def spawn(install: Install, program: Path) -> str:
    """Run a program `SPAWNS` times; return the name of the program that starts the runs."""
    parent = install("spawn")
    subprocess.run([parent, str(SPAWNS), program], check=True, stdout=subprocess.DEVNULL)
    return parent.name


def rows(found: Activity, key: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a table by the text in the first column."""
    table = next(table for table in found.tables if table.key == key)
    keys = [column.key for column in table.columns]
    return {str(row[0]): dict(zip(keys, row, strict=True)) for row in table.rows}


def test_rates_of_a_known_workload_are_exact(daemon: Daemon, install: Install, tmp_path: Path) -> None:
    page = metrics_page.find(str(daemon.configuration), Address("127.0.0.1", daemon.port), None)
    program, opener, parser = install("naps"), install("fail_opens"), PageParser()
    before = read_page(page, parser)
    parent = spawn(install, program)
    subprocess.run([opener, "openat", "EMFILE", str(FAILURES)], check=True, cwd=tmp_path)
    found = activity(before, read_page(page, parser))
    started, failing = rows(found, "programs")[program.name], rows(found, "programs")[opener.name]
    starter = rows(found, "parents")[parent]
    assert started["starts_per_second"] * found.seconds == pytest.approx(SPAWNS)
    assert (started["execs"], started["short_share"]) == (SPAWNS, 1.0)
    assert (starter["most_started"], starter["execs"]) == (program.name, SPAWNS)
    assert failing["failures_per_second"] * found.seconds == pytest.approx(FAILURES)


def row_of(shown: TmuxTerminal, program: Path) -> list[str]:
    """Return the cells of a program's row, none while the row is not there."""
    return next((line.split() for line in shown.screen() if program.name in line), [])


def test_a_terminal_shows_a_storm_and_keeps_its_count_over_a_killed_exporter(
    start: Start, install: Install, tmp_path: Path
) -> None:
    daemon, program = start(), install("naps")
    arguments = ["top", "--config.file", str(daemon.configuration), "--interval", "100ms"]
    more = ["--web.listen-address", f"127.0.0.1:{daemon.port}"]
    with terminal(tmp_path, command(*arguments, *more), (80, 24)) as shown:
        shown.shows("UNIT", "PROGRAM", "PARENT", "ERRNO", "SYSTEM CALL")
        shown.write("2z")
        shown.shows("EXECS")
        spawn(install, program)
        until(lambda: row_of(shown, program)[-1:] == [str(SPAWNS)], "all spawns are there")
        daemon.kill_exporter()
        spawn(install, program)
        until(lambda: row_of(shown, program)[-1:] == [str(2 * SPAWNS)], "all spawns of both are there")
        assert not row_of(shown, program)[1].startswith("-")
        shown.press("q")
        assert shown.ended() == 0


def test_no_privilege_is_needed(daemon: Daemon, readable_copy: Path) -> None:
    site = str(readable_copy / "config/probed.yaml")
    address = f"127.0.0.1:{daemon.port}"
    status, text = run_to_its_end(
        "top", "--config.file", site, "--web.listen-address", address, "--once", "--format", "json",
        under=NOBODY, python=str(Path(sys.executable).resolve()), PYTHONPATH=str(readable_copy / "daemon"),
    )  # fmt: skip
    assert status == 0, text
    assert json.loads(text)["system_calls"]
