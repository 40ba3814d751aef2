# SPDX-License-Identifier: Apache-2.0
"""Programs run in kprobes only where the kernel preempts those of raw tracepoints, and has such kprobes."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from probed.linux import bpf
from probed.loader import preemption
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from support.unit.btf_builder import BtfBuilder

SEEN = 1 << 30
"""The program's sign that it ran; the count is in the lower bits."""


class Kernel:
    """Gives a memory file for every descriptor, and shows the preempt count that a program saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seen: int, refused: str = "") -> None:
        self._seen = seen
        self._refused = refused
        self._open: list[int] = []
        self.functions: list[str] = []
        for name in ("create_map", "load_tracing_program", "attach_tracing_program", "load_kprobe_program"):
            monkeypatch.setattr(bpf, name, lambda *_, name=name: self._give(name))
        monkeypatch.setattr(bpf, "attach_kprobe_program", self._attach)
        monkeypatch.setattr(bpf, "lookup", self._lookup)

    def _give(self, name: str) -> int:
        if name == self._refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._open.append(os.memfd_create(name))
        return self._open[-1]

    def _attach(self, _: int, function: str) -> int:
        self.functions.append(function)
        return self._give("attach_kprobe_program")

    def _lookup(self, _fd: int, _key: int, value: int) -> None:
        ctypes.c_uint64.from_address(value).value = self._seen

    @property
    def left_open(self) -> list[int]:
        return [fd for fd in self._open if Path(f"/proc/self/fd/{fd}").exists()]


def kernel_types(variable: str = "__preempt_count") -> Btf:
    builder = BtfBuilder()
    number = builder.integer("int", 4)
    for name, arguments in {"sys_exit": 2, "crowded": 6}.items():
        builder.tracepoint(name, *([number] * arguments))
    builder.raw(variable, Kind.VAR, 0, number, 1)
    return Btf.parse(builder.build(), Path("vmlinux"))


def test_programs_run_in_kprobes_where_the_kernel_preempts_raw_tracepoints(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, SEEN)
    assert preemption.needs_kprobes(kernel_types())
    assert kernel.functions == ["__traceiter_sys_exit"]
    assert kernel.left_open == []


@pytest.mark.parametrize(
    ("seen", "refused", "variable"),
    [
        (SEEN | 1, "", "__preempt_count"),  # programs are not preempted
        (0, "", "__preempt_count"),  # the program did not run
        (SEEN, "", "pcpu_hot"),  # a kernel without that variable
        (SEEN, "create_map", "__preempt_count"),
        (SEEN, "load_tracing_program", "__preempt_count"),
        (SEEN, "attach_tracing_program", "__preempt_count"),
        (SEEN, "load_kprobe_program", "__preempt_count"),  # a kernel without kprobes
        (SEEN, "attach_kprobe_program", "__preempt_count"),
    ],
)
def test_programs_stay_on_raw_tracepoints_elsewhere(
    monkeypatch: pytest.MonkeyPatch, seen: int, refused: str, variable: str
) -> None:
    kernel = Kernel(monkeypatch, seen, refused)
    assert not preemption.needs_kprobes(kernel_types(variable=variable))
    assert kernel.left_open == []


def test_tracepoints_with_all_arguments_in_registers_fit_a_kprobe() -> None:
    fits = {name: preemption.fits_kprobe(kernel_types(), name) for name in ("sys_exit", "crowded", "nowhere")}
    assert fits == {"sys_exit": True, "crowded": False, "nowhere": False}
