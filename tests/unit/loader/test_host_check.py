# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from probed.config.declaration.probe import parse_declaration
from probed.loader.host_check import check_attach_points

TEXT = """\
description: Starts of programs.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
ring: {bytes: 1 MiB}
metrics:
  probed_execs_total: {type: counter, help: Execs.}
"""


def test_an_attach_point_that_the_host_lacks_comes_with_near_names() -> None:
    probe = parse_declaration(TEXT, "starts/starts.yaml", "starts")
    assert check_attach_points(probe, lambda _: {"sched_process_exec"}) == []
    known = {"sched_process_exit", "sched_process_fork", "sys_enter"}
    (problem,) = check_attach_points(probe, lambda _: known)
    assert str(problem) == (
        "starts/starts.yaml:3: programs.on_exec.raw_tracepoint: this kernel has no raw tracepoint "
        "'sched_process_exec'; near names: sched_process_exit, sched_process_fork"
    )
