# SPDX-License-Identifier: Apache-2.0
"""`probed top --once`, and its mistakes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from probed import __main__
from support.running_daemon import ROOT
from support.top.canned_daemon import CannedDaemon
from support.top.pages import page, series
from support.top.storm import counts

SITE = str(ROOT / "config/probed.yaml")


@pytest.fixture
def daemon() -> Iterator[CannedDaemon]:
    """A daemon whose counters grow by a second's storm from page to page."""
    seconds = itertools.count(100)
    with CannedDaemon(lambda: page(counts(next(seconds)))) as made:
        yield made


def top(daemon: CannedDaemon, *options: str) -> int:
    arguments = ["top", "--config.file", SITE, "--web.listen-address", daemon.address, "--interval", "100ms"]
    return __main__.main([*arguments, *options])


def test_json_has_every_table_and_every_row(daemon: CannedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert top(daemon, "--once", "--format", "json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(found) == [
        "address", "unit", "seconds", "totals", "probes_down",
        "units", "programs", "parents", "failures", "system_calls", "losses",
    ]  # fmt: skip
    busiest, seconds = found["units"][0], found["seconds"]
    assert busiest["unit"] == "media.service"
    assert busiest["starts_per_second"] * seconds == pytest.approx(480)
    assert busiest["failures_per_second"] * seconds == pytest.approx(4_359)
    assert busiest["short_share"] == pytest.approx((431 * 0.998 + 49 * 0.995) / 480)
    assert [row["lost"] for row in found["losses"]] == [17]


def test_a_table_has_the_rows_in_which_something_happened(
    daemon: CannedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert top(daemon, "--once") == 0
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")]
    assert [block[0].split()[0] for block in blocks] == [
        "UNIT", "PROGRAM", "PARENT", "ERRNO", "SYSTEM", "PROBE", "Probes",
    ]  # fmt: skip
    assert [line.split()[0] for line in blocks[2]] == [
        "PARENT", "transcoder", "make", "gcc", "zsh", "backup", "runc",
    ]  # fmt: skip


def test_a_quiet_machine_has_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with CannedDaemon(lambda: page({series("probed_syscalls_total", syscall="read"): 7.0})) as quiet:
        assert top(quiet, "--once") == 0
    assert capsys.readouterr().out.split("\n\n")[4] == "System calls: none"


def test_a_filter_leaves_the_units_that_match(daemon: CannedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert top(daemon, "--once", "--format", "json", "--unit", "c*") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["unit"] for row in found["units"]] == ["ci.service"]
    assert {row["program"] for row in found["programs"]} == {"cc1", "gcc"}


def test_the_page_is_asked_for_start_timestamps_and_few_metrics(
    daemon: CannedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    top(daemon, "--once")
    (path, accept), _ = daemon.requests
    assert accept == "application/openmetrics-text; version=1.0.0"
    assert path.startswith("/metrics?name[]=probed_process_execs_total&")
    assert path.endswith("&created=1")


def test_escape_sequences_of_a_page_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = itertools.count()
    hostile = series("probed_process_execs_total", unit="\x1b[2J\n", comm="x", parent="y")
    with CannedDaemon(lambda: page({hostile: float(next(seconds))})) as daemon:
        assert top(daemon, "--once") == 0
        assert top(daemon, "--once", "--format", "json") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J\\n" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no terminal; use --once"),
        (("--format", "json"), "--format is the format of --once"),
    ],
)
def test_a_mistake_is_told(
    daemon: CannedDaemon, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert top(daemon, *options) == 1
    assert said in capsys.readouterr().err


def test_a_daemon_that_does_not_run_is_an_error(daemon: CannedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.stop()
    assert top(daemon, "--once") == 1
    assert "no daemon answers at" in capsys.readouterr().err


def test_once_needs_no_curses() -> None:
    code = "import sys; from probed.commands.top import command; assert not {'curses', '_curses'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
