# SPDX-License-Identifier: Apache-2.0
"""Programs run in kprobes only where the kernel preempts those of raw tracepoints, and has such kprobes; and which
programs the kernel may preempt."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from probed.config.declaration.programs import Program
from probed.linux import bpf
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.loader.common import preemption
from probed.loader.common.register_point import RegisterPoint
from support.unit.btf_builder import BtfBuilder

SEEN = preemption.SEEN


class Kernel:
    """Gives a memory file for every descriptor, and shows the preempt count that a program saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seen: int, refused: str = "", needed: int = 2) -> None:
        """Without kprobes the programs of trials see `seen`. An iterator calls a kprobe if `needed` programs wait."""
        self._seen = seen
        self._needed = needed
        self._in_kprobe = False
        self._refused = refused
        self._open: list[int] = []
        self._in_kprobe, self._switches = False, 0
        self.functions: list[str] = []
        for name in ("create_map", "attach_tracing_program"):
            monkeypatch.setattr(bpf, name, lambda *_, name=name: self._give(name))
        monkeypatch.setattr(bpf, "load_program", self._load)
        monkeypatch.setattr(bpf, "attach_kprobe_program", self._attach)
        monkeypatch.setattr(bpf, "lookup", self._lookup)

    def _give(self, name: str) -> int:
        if name == self._refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if name == "create_map":
            self._in_kprobe, self._switches = False, 0
        self._switches += name == "attach_tracing_program"
        self._open.append(os.memfd_create(name))
        return self._open[-1]

    def _load(self, _code: bytes, _name: str, program_type: bpf.ProgramType, _log: bytearray) -> int:
        return self._give("load_kprobe_program" if program_type == bpf.KPROBES else "load_tracing_program")

    def _attach(self, _: int, functions: Sequence[str]) -> int:
        self._in_kprobe = True
        self.functions += functions
        return self._give("attach_kprobe_program")

    def _lookup(self, _fd: int, _key: int, value: int) -> None:
        needed = self._needed if self.functions and self.functions[-1].startswith("__traceiter") else 1
        ran = SEEN if self._switches >= needed else 0
        ctypes.c_uint64.from_address(value).value = ran if self._in_kprobe else self._seen

    @property
    def left_open(self) -> list[int]:
        return [fd for fd in self._open if Path(f"/proc/self/fd/{fd}").exists()]


def kernel_types(*functions: str, variable: str = "__preempt_count") -> Btf:
    builder = BtfBuilder()
    number = builder.integer("int", 4)
    for name, arguments in {"sys_exit": 2, "sys_enter": 2, "crowded": 6, "sched_process_free": 1}.items():
        builder.tracepoint(name, *([number] * arguments))
    for name in functions:
        builder.refer(Kind.FUNC, builder.prototype(number), name)
    builder.raw(variable, Kind.VAR, 0, number, 1)
    return Btf.parse(builder.build(), Path("vmlinux"))


def preempts(btf: Btf) -> bool | None:
    return preemption.preempts(lambda kind, name: next(iter(btf.find(kind, name)), 0))


def test_programs_run_in_kprobes_where_the_kernel_preempts_raw_tracepoints(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, SEEN)
    types = kernel_types("trace_syscall_exit")
    assert preempts(types) is True
    assert preemption.runs_kprobes(lambda: types)
    assert kernel.functions == ["trace_syscall_exit", "__traceiter_sys_enter"]
    assert kernel.left_open == []


def test_the_verifier_decides_whether_programs_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, SEEN)
    assert preemption.has_exchange()
    assert kernel.left_open == []
    Kernel(monkeypatch, SEEN, "load_kprobe_program")
    assert not preemption.has_exchange()


@pytest.mark.parametrize(
    ("seen", "refused", "variable", "found"),
    [
        (SEEN | 1, "", "__preempt_count", False),
        (0, "", "__preempt_count", None),  # the program did not run
        (SEEN, "", "pcpu_hot", None),  # a kernel without that variable
        (SEEN, "create_map", "__preempt_count", None),
        (SEEN, "load_tracing_program", "__preempt_count", None),
        (SEEN, "attach_tracing_program", "__preempt_count", None),
    ],
)
def test_a_trial_says_whether_the_kernel_preempts_or_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, seen: int, refused: str, variable: str, found: bool | None
) -> None:
    kernel = Kernel(monkeypatch, seen, refused)
    assert preempts(kernel_types(variable=variable)) is found
    assert kernel.left_open == []


@pytest.mark.parametrize("refused", ["load_kprobe_program", "attach_kprobe_program"])
def test_programs_stay_on_raw_tracepoints_without_kprobes(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    kernel, types = Kernel(monkeypatch, SEEN, refused), kernel_types()
    assert not preemption.runs_kprobes(lambda: types)
    assert kernel.left_open == []


@pytest.mark.parametrize(
    ("found", "release", "may"),
    [
        (False, "5.10.0-46-amd64", False),
        (False, "6.18.44", False),
        (False, "6.19.1+deb14-amd64", True),
        (False, "7.0.0", True),
        (None, "6.1.0-49-amd64", True),
        (True, "6.1.0-49-amd64", True),
    ],
)
def test_tracepoints_are_taken_as_preempted_unless_the_trial_and_the_version_say_no(
    found: bool | None, release: str, may: bool
) -> None:
    assert preemption.tracepoints_may_be_preempted(found, release) is may


@pytest.mark.parametrize("at_tracepoints", [False, True])
def test_programs_at_functions_may_be_preempted_on_every_kernel(at_tracepoints: bool) -> None:
    tracing, at_function = Program(("one",), raw_tracepoint="sys_exit"), Program(("two",), fentry="vfs_read")
    assert preemption.may_be_preempted([tracing], at_tracepoints) is at_tracepoints
    assert preemption.may_be_preempted([tracing, at_function], at_tracepoints)


def test_programs_stay_on_raw_tracepoints_where_the_kernel_does_not_call_the_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel, types = Kernel(monkeypatch, SEEN, needed=3), kernel_types()
    assert not preemption.runs_kprobes(lambda: types)
    assert kernel.left_open == []


def test_the_end_of_a_system_call_has_a_function_of_its_own() -> None:
    point = preemption.kprobe_point(kernel_types("trace_syscall_exit"), "sys_exit")
    assert point == RegisterPoint(("trace_syscall_exit",), (112, 104), 1)  # di, si


def test_other_tracepoints_have_a_function_with_a_pointer_before_the_arguments() -> None:
    types = kernel_types()
    for name in ("sys_exit", "sys_enter"):
        point = preemption.kprobe_point(types, name)
        assert point == RegisterPoint((f"__traceiter_{name}",), (104, 96, 88, 72, 64), 2)


@pytest.mark.parametrize("name", ["crowded", "nowhere", "sched_process_free"])
def test_tracepoints_in_interrupts_or_with_more_arguments_than_registers_run_in_no_kprobe(name: str) -> None:
    assert preemption.kprobe_point(kernel_types(), name) is None
