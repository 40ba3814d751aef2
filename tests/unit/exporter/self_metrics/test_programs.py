# SPDX-License-Identifier: Apache-2.0
"""Metrics of BPF programs and hooks."""

from __future__ import annotations

from dataclasses import replace

from probed.exporter.bpf.program_stats import ProgramStats
from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics import programs
from probed.exporter.self_metrics.metric import families
from probed.exporter.self_metrics.probes import ProbeStats
from support.unit.probe_stats import probes_of, series

EXEC = ProgramStats("on_exec", "sched_process_exec", 22869, "59f4a931744dcdc6", 0, 0, 0)
EXECS = replace(EXEC, name="probed_sched_process_exec", id=71, runs=7, run_ns=1_500_000_000)
OPENS = replace(EXEC, name="probed_sys_exit", id=73)


def found(own: tuple[ProgramStats, ...], hooks: tuple[ProgramStats, ...]) -> list[Family]:
    """Return the families of two probes that share their hooks."""
    first = ProbeStats("process", programs=own, hooks=hooks)
    return families(programs.METRICS, probes_of(first, ProbeStats("opens", hooks=hooks)))


def test_runs_are_left_out_until_the_kernel_counts_some() -> None:
    of = found((EXEC,), (OPENS,))
    assert series(of, "probed_program_runs_total") == {}
    assert series(of, "probed_program_run_seconds_total") == {}
    assert len(series(of, "probed_program_info")) == 2


def test_a_hook_without_runs_is_at_zero_once_another_has_run() -> None:
    of = found((EXEC,), (EXECS, OPENS))
    runs = {("probed_sched_process_exec",): 7, ("probed_sys_exit",): 0}
    assert series(of, "probed_program_runs_total") == runs
    assert series(of, "probed_program_run_seconds_total")[("probed_sched_process_exec",)] == 1.5


def test_a_hook_of_several_probes_has_one_series() -> None:
    of = found((), (EXECS, EXECS, OPENS))
    assert len(series(of, "probed_program_runs_total")) == len(series(of, "probed_program_info")) == 2


def test_the_info_names_the_attach_point_and_the_probe() -> None:
    first, hook = series(found((EXEC,), (EXECS,)), "probed_program_info")
    where = ("59f4a931744dcdc6", "raw_tracepoint:sched_process_exec")
    assert first == ("process", "on_exec", "22869", *where)
    assert hook == ("", "probed_sched_process_exec", "71", *where)
