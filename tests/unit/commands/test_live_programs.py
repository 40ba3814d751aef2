# SPDX-License-Identifier: Apache-2.0
"""`probed list --live`: a table from the daemon's page and the kernel's answers."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from probed.client import metrics_page
from probed.client.http_client import Answer, Endpoint
from probed.client.metrics_page import MetricsPage
from probed.commands import live_programs
from probed.commands.live_programs import Code
from probed.errors import HostError
from probed.exporter.bpf.program_stats import ProgramStats
from probed.exporter.exposition.renderer import Page
from probed.exporter.self_metrics import programs
from probed.exporter.self_metrics.metric import families
from probed.exporter.self_metrics.probes import ProbeStats
from probed.webconfig.listen_address import Address
from support.unit.probe_stats import probes_of

PAGE = MetricsPage(Address("127.0.0.1", 9788), "/metrics", Endpoint())
EXEC = ProgramStats("on_exec", "sched_process_exec", 67, "59f4a931744dcdc6", 0, 0, 0)
EXECS = ProgramStats("probed_sched_process_exec", "sched_process_exec", 71, "59f4a931744dcdc6", 1_009, 2_018_000, 0)
RETURNS = ProgramStats("probed_sys_exit", "sys_exit", 73, "a0f4a931744dcdc6", 0, 0, 0)
CODE = Code("tracing", 211, 1_307)


def page(*hooks: ProgramStats) -> str:
    """Return a page as the exporter renders it, with one probe's program and hooks."""
    probe = ProbeStats("process", programs=(EXEC,), hooks=hooks)
    return Page().render(families(programs.METRICS, probes_of(probe))).decode()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "fetch", lambda *_: Answer(200, page(EXECS, RETURNS)))


def refuse(_: int) -> Code:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_page_has_the_programs_of_the_daemon_with_runs_and_time() -> None:
    assert live_programs.parse(page(EXECS, RETURNS)) == [
        live_programs.LiveProgram("process", "on_exec", "raw_tracepoint:sched_process_exec", 67, None, None),
        live_programs.LiveProgram(
            "(hook)", "probed_sched_process_exec", "raw_tracepoint:sched_process_exec", 71, 1_009, 0.002018
        ),
        live_programs.LiveProgram("(hook)", "probed_sys_exit", "raw_tracepoint:sys_exit", 73, 0, 0.0),
    ]


def test_runs_that_the_kernel_does_not_count_are_not_zero() -> None:
    assert [(found.runs, found.seconds) for found in live_programs.parse(page(RETURNS))] == [(None, None), (None, None)]


def test_the_table_has_everything(
    answering: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_programs, "code", lambda _: CODE)
    assert live_programs.run(PAGE) == 0
    said = capsys.readouterr()
    head, own, first, second = (line.split() for line in said.out.splitlines())
    assert head[:5] == ["probe", "program", "attach", "id", "type"]
    assert own[3:] == ["67", "tracing", "211", "1307", "-", "-", "-"]
    assert first[3:] == ["71", "tracing", "211", "1307", "1009", "0.002018", "2000"]
    assert second[3:] == ["73", "tracing", "211", "1307", "0", "0.000000", "-"]
    assert said.err == ""


def test_without_privilege_the_rest_is_shown_and_the_privilege_named(
    answering: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_programs, "code", refuse)
    assert live_programs.run(PAGE) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[2].split()[3:] == ["71", "-", "-", "-", "1009", "0.002018", "2000"]
    assert "Operation not permitted" in said.err
    assert "CAP_SYS_ADMIN" in said.err


def test_a_note_names_the_sysctl_that_counts_runs() -> None:
    (note,) = live_programs.notes(live_programs.parse(page(RETURNS)), {67: CODE, 73: CODE}, "")
    assert "sysctl kernel.bpf_stats_enabled=1" in note


@pytest.mark.parametrize("labels", ['id="67"', 'probe="a",program="b",attach="c",id="x"'])
def test_a_program_of_a_strange_page_is_an_error(labels: str) -> None:
    with pytest.raises(HostError, match="without a usable label or number"):
        live_programs.parse(f"probed_program_info{{{labels}}} 1")


def test_a_daemon_that_does_not_run_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HostError, match=r"no daemon answers at 127\.0\.0\.1:\d+.*--web\.listen-address"):
        live_programs.run(MetricsPage(Address("127.0.0.1", port), "/metrics", Endpoint()))


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer(401, ""), "basic_auth"), (Answer(404, ""), "status 404"), (Answer(0, "BadStatusLine"), "BadStatus")],
)
def test_another_page_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str) -> None:
    monkeypatch.setattr(metrics_page, "fetch", lambda *_: answer)
    with pytest.raises(HostError, match=said):
        live_programs.run(PAGE)
