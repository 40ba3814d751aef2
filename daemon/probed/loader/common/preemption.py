# SPDX-License-Identifier: Apache-2.0
"""Whether the kernel can preempt a program, and whether programs of raw tracepoints can run in a kprobe instead.

The kernel skips a program that another task has entered on the same CPU. Where the kernel preempts programs of raw
tracepoints (Linux 7.2), several runnable tasks on a CPU make it skip a fifth to a third of all runs. Programs of
kprobes are not preempted. So the loader attaches the hook to a function that the kernel calls at the tracepoint, and
empty programs to the raw tracepoint, the switches, which make the kernel call the function. `__main__` asks this module
once a run. docs/decisions/0030-preemptible-tracepoints.md has the ways that were tried.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from probed.config.declaration.programs import Program
from probed.linux import bpf
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.loader.common.register_point import REGISTERS, RegisterPoint

TRIALS = ("sys_exit", "sys_enter")
"""Raw tracepoints of the trials: this process reaches them with any system call; one is called by a function."""

COUNT = "__preempt_count"
"""The kernel's variable for each CPU: Linux arch/x86/include/asm/preempt.h."""

PREEMPT_MASK = 0xFF
"""Linux include/linux/preempt.h: the part of the variable that counts preempt_disable()."""

SYSCALL_EXIT = "trace_syscall_exit"

IN_INTERRUPTS = frozenset({"sched_process_free", "hrtimer_expire_entry", "hrtimer_expire_exit"})
"""Raw tracepoints in interrupts, where nothing preempts a program, and where the kernel skips one of a kprobe."""

NEWEST_WITHOUT = (6, 18)
"""The newest Linux, as tried, whose tracepoints all disable preemption: __DO_TRACE() in include/linux/tracepoint.h. The
trial is at a system call, and a later kernel might preempt programs at the other tracepoints alone."""

SEEN = 1 << 30
"""Bit that shows that a trial's program ran."""

_THIS_CPU_PTR = 154
"""BPF_FUNC_this_cpu_ptr of Linux include/uapi/linux/bpf.h."""


def _insn(code: int, registers: int = 0, offset: int = 0, number: int = 0) -> bytes:
    """Return one instruction; `registers` has the source in the upper half of the byte."""
    return struct.pack("=BBhi", code, registers, offset, number)


def kprobe_point(btf: Btf, tracepoint: str) -> RegisterPoint | None:
    """Return where programs of a raw tracepoint run in a kprobe; None for interrupts and for too many arguments.

    A tracepoint with two programs calls them through a function. With one, the kernel calls the program itself; but the
    end of a system call has a function of its own around the tracepoint. Sources: tracepoint_update_call() in Linux
    kernel/tracepoint.c, trace_syscall_exit() in kernel/entry/syscall-common.c.
    """
    if tracepoint == "sys_exit" and btf.has_function(SYSCALL_EXIT):
        return RegisterPoint((SYSCALL_EXIT,), REGISTERS[:2], 1)
    arguments = btf.tracepoint_arguments(tracepoint)
    if tracepoint in IN_INTERRUPTS or arguments is None or arguments >= len(REGISTERS):
        return None
    return RegisterPoint((f"__traceiter_{tracepoint}",), REGISTERS[1:], 2)  # before the arguments comes a pointer


_EXCHANGE = b"".join(
    (
        _insn(0x7A, 0x0A, -8),  # *(u64 *)(r10 - 8) = 0
        _insn(0xB7, 0x01, 0, 1),  # r1 = 1
        _insn(0xDB, 0x1A, -8, 0xE1),  # r1 = xchg(r10 - 8, r1)
        bpf.RETURN_0,
    )
)


def load_empty(tracepoint_type: int) -> int:
    """Load an empty program for a raw tracepoint; return the fd. Raises OSError."""
    return bpf.load_program(bpf.RETURN_0, "probed_switch", bpf.tracing(tracepoint_type), bytearray())


KernelType = Callable[[Kind, str], int]
"""Returns the number of a type of the running kernel, 0 for none."""


def preempts(kernel_type: KernelType) -> bool | None:
    """Say, by trying, whether the kernel preempts programs of raw tracepoints; None where the trial cannot tell."""
    try:
        return _preempts(kernel_type)
    except OSError:
        return None


def runs_kprobes(read: Callable[[], Btf]) -> bool:
    """Say, by trying, whether programs run in kprobes at raw tracepoints; `read` returns all types.

    Where the kernel or its security policy refuses the trial, programs stay on raw tracepoints, and each probe's own
    load tells the reason of a refusal.
    """
    try:
        return _runs_kprobes(read())
    except OSError:
        return False


def tracepoints_may_be_preempted(found: bool | None, release: str) -> bool:
    """Say whether programs of raw tracepoints may be preempted: `found` is by `preempts`, `release` by uname(2)."""
    version = tuple(map(int, re.findall(r"\d+", release)[:2]))
    return found is not False or version > NEWEST_WITHOUT


def may_be_preempted(programs: Iterable[Program], tracepoints: bool) -> bool:
    """Say whether one of a probe's programs may be preempted; `tracepoints` says that of those at raw tracepoints.

    The kernel preempts programs at functions and at functions of user programs: __bpf_prog_enter_recur() in Linux
    kernel/bpf/trampoline.c, uprobe_prog_run() in kernel/trace/bpf_trace.c.
    """
    return tracepoints or any(each.raw_tracepoint is None for each in programs)


def has_exchange() -> bool:
    """Say, by trying, whether the kernel's verifier takes BPF_XCHG, which programs that can be preempted need."""
    try:
        os.close(bpf.load_program(_EXCHANGE, "exchange", bpf.KPROBES, bytearray()))
    except OSError:  # Linux before 5.12
        return False
    return True


def _preempts(kernel_type: KernelType) -> bool | None:
    """Say whether a program finds that it may be preempted. Raises OSError, also where the verifier refuses COUNT."""
    variable = kernel_type(Kind.VAR, COUNT)
    tracepoints = [kernel_type(Kind.TYPEDEF, f"btf_trace_{name}") for name in TRIALS]
    if not variable or not all(tracepoints):
        return None
    with ExitStack() as fds:
        array = _array(fds)
        program = _tracing(_store(array, _preempt_count(variable)), tracepoints[0])
        fds.callback(os.close, program)
        fds.callback(os.close, bpf.attach_tracing_program(program))
        os.getppid()
        seen = _value(array)
    return not seen & PREEMPT_MASK if seen else None


def _runs_kprobes(btf: Btf) -> bool:
    """Say whether programs in kprobes run. Raises OSError where the kernel has no such kprobes."""
    points = {name: kprobe_point(btf, name) for name in TRIALS}
    return all(point is not None and _runs(btf, name, point) for name, point in points.items())


def _runs(btf: Btf, tracepoint: str, point: RegisterPoint) -> bool:
    """Say whether a program in a kprobe runs at a raw tracepoint that this process reaches. Raises OSError."""
    with ExitStack() as fds:
        array = _array(fds)
        program = bpf.load_program(_store(array, b""), "trial", bpf.KPROBES, bytearray())
        fds.callback(os.close, program)
        fds.callback(os.close, bpf.attach_kprobe_program(program, point.functions))
        for _ in range(point.switches):
            switch = _tracing(bpf.RETURN_0, btf.tracepoint_type(tracepoint))
            fds.callback(os.close, switch)
            fds.callback(os.close, bpf.attach_tracing_program(switch))
        os.getppid()
        return bool(_value(array))


def _tracing(code: bytes, tracepoint_type: int) -> int:
    return bpf.load_program(code, "trial", bpf.tracing(tracepoint_type), bytearray())


def _array(fds: ExitStack) -> int:
    """Create an array of one u64, which `fds` closes."""
    array = bpf.create_map(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1)
    fds.callback(os.close, array)
    return array


def _value(array: int) -> int:
    key, found = ctypes.c_uint32(), ctypes.c_uint64()
    bpf.lookup(array, ctypes.addressof(key), ctypes.addressof(found))
    return found.value


def _preempt_count(variable: int) -> bytes:
    """Return instructions that put this CPU's preempt count into r6."""
    return b"".join(
        (
            _insn(0x18, 0x31, 0, variable) + _insn(0),  # r1 = the variable, BPF_PSEUDO_BTF_ID
            _insn(0x85, number=_THIS_CPU_PTR),
            _insn(0x61, 0x06),  # r6 = *(u32 *)r0
        )
    )


def _store(array: int, begin: bytes) -> bytes:
    """Return a program that stores r6's end and `SEEN` in the array's entry; `begin` may set r6."""
    return b"".join(
        (
            _insn(0xB7, 0x06),  # r6 = 0
            begin,
            _insn(0x62, 0x0A, -4),  # *(u32 *)(r10 - 4) = 0
            _insn(0x18, 0x11, 0, array) + _insn(0),  # r1 = the array, BPF_PSEUDO_MAP_FD
            _insn(0xBF, 0xA2) + _insn(0x07, 0x02, 0, -4),  # r2 = r10 - 4
            _insn(0x85, number=1),  # BPF_FUNC_map_lookup_elem
            _insn(0x15, 0x00, 4),  # if r0 == 0 goto the end
            _insn(0x57, 0x06, 0, PREEMPT_MASK),
            _insn(0xB7, 0x01, 0, SEEN) + _insn(0x4F, 0x16),  # r6 |= SEEN
            _insn(0x7B, 0x60),  # *(u64 *)r0 = r6
            bpf.RETURN_0,
        )
    )
