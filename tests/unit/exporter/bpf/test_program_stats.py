# SPDX-License-Identifier: Apache-2.0
"""Statistics of programs, from files as the kernel writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from probed.exporter.bpf.program_stats import ProgramInfo, ProgramStats, read_all

TOLD = """pos:\t0
flags:\t02000002
mnt_id:\t17
ino:\t1038
prog_type:\t17
prog_jited:\t1
prog_tag:\t59f4a931744dcdc6
memlock:\t4096
prog_id:\t22869
run_time_ns:\t{ns}
run_cnt:\t{runs}
recursion_misses:\t3
verified_insns:\t2
"""
"""Linux 6.18."""

EXEC = "sched_process_exec"

Write = Callable[[str], None]


@pytest.fixture
def info(tmp_path: Path) -> Iterator[tuple[ProgramInfo, Write]]:
    """A program's file, and a function that rewrites the file."""
    path = tmp_path / "info"
    path.touch()
    fd = os.open(path, os.O_RDONLY)

    def write(text: str) -> None:
        path.write_text(text)

    yield ProgramInfo(fd, "on_exec", EXEC), write
    os.close(fd)


def program(runs: int, ns: int = 0, misses: int = 0, name: str = "on_exec", number: int = 22869) -> ProgramStats:
    return ProgramStats(name, "sched_process_exec", number, "59f4a931744dcdc6", runs, ns, misses)


def test_a_file_of_the_kernel_s_is_read_whole(info: tuple[ProgramInfo, Write]) -> None:
    its, write = info
    write(TOLD.format(ns=1_234_567, runs=1_009))
    assert its.read() == program(1_009, 1_234_567, 3)


def test_a_kernel_that_tells_no_misses_is_believed(info: tuple[ProgramInfo, Write]) -> None:
    its, write = info
    write(TOLD.format(ns=5, runs=1).replace("recursion_misses:\t3\n", ""))
    assert its.read() == program(1, 5, 0)


def test_another_program_under_the_same_descriptor_is_not_taken_for_ours(info: tuple[ProgramInfo, Write]) -> None:
    its, write = info
    write(TOLD.format(ns=5, runs=1))
    assert its.read()
    write(TOLD.format(ns=5, runs=1).replace("22869", "22870"))
    assert its.read() is None


@pytest.mark.parametrize(
    "text", ["", "pos:\t0\nflags:\t02\n", "link_type:\traw_tracepoint\nprog_tag:\tab\nprog_id:\t7\n"]
)
def test_a_descriptor_that_is_no_program_tells_nothing(info: tuple[ProgramInfo, Write], text: str) -> None:
    its, write = info
    write(text)
    assert its.read() is None


def test_a_descriptor_that_is_closed_tells_nothing() -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    fd = os.open(f"/proc/self/fdinfo/{null}", os.O_RDONLY)
    os.close(null)
    assert read_all([ProgramInfo(fd, "on_exec", EXEC)]) == []
    os.close(fd)
