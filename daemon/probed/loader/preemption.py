# SPDX-License-Identifier: Apache-2.0
"""Whether the kernel can preempt programs of raw tracepoints, and whether programs can run in a kprobe instead.

The kernel skips a program that another task has entered on the same CPU. Where the kernel preempts programs of raw
tracepoints (Linux 7.2), several runnable tasks on a CPU make it skip a fifth to a third of all runs. Programs of
kprobes are not preempted. So the loader attaches an empty program to the raw tracepoint, which makes the kernel call
the tracepoint, and the hook to the function that the kernel calls then, ``__traceiter_NAME``. `__main__` asks this
module once a run. docs/decisions/0030-preemptible-tracepoints.md has the ways that were tried.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import ExitStack

from probed.linux import bpf
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf

TRACEPOINT = "sys_exit"
"""Raw tracepoint of the trial: this process reaches it with any system call."""

COUNT = "__preempt_count"
"""The kernel's variable for each CPU: Linux arch/x86/include/asm/preempt.h."""

PREEMPT_MASK = 0xFF
"""Linux include/linux/preempt.h: the part of the variable that counts preempt_disable()."""

MOST_ARGUMENTS = 5
"""Arguments of a tracepoint that are in registers, after the iterator's first one."""

LICENCE = b"GPL"

_SEEN = 1 << 31

_THIS_CPU_PTR = 154
"""BPF_FUNC_this_cpu_ptr of Linux include/uapi/linux/bpf.h."""


def _insn(code: int, registers: int = 0, offset: int = 0, number: int = 0) -> bytes:
    """Return one instruction; `registers` has the source in the upper half of the byte."""
    return struct.pack("=BBhi", code, registers, offset, number)


EMPTY = _insn(0xB7) + _insn(0x95)
"""r0 = 0; exit."""


def iterator(tracepoint: str) -> str:
    """Return the function that the kernel calls at a tracepoint.

    Its first argument is no argument of the tracepoint. Source: DEFINE_TRACE_FN() in Linux include/linux/tracepoint.h.
    """
    return f"__traceiter_{tracepoint}"


def load_empty(tracepoint_type: int) -> int:
    """Load an empty program for a raw tracepoint; return the fd. Raises OSError."""
    return bpf.load_tracing_program(EMPTY, "probed_switch", LICENCE, tracepoint_type, bytearray())


def needs_kprobes(btf: Btf) -> bool:
    """Say, by trying, whether the kernel preempts programs of raw tracepoints, and runs programs in kprobes.

    Where the kernel or its security policy refuses the trial, programs stay on raw tracepoints, and each probe's own
    load tells the reason of a refusal.
    """
    try:
        return _preempts(btf) and _has_kprobes()
    except OSError:
        return False


def fits_kprobe(btf: Btf, tracepoint: str) -> bool:
    """Say whether registers hold all arguments of a raw tracepoint, so that its programs can run in a kprobe."""
    arguments = btf.tracepoint_arguments(tracepoint)
    return arguments is not None and arguments <= MOST_ARGUMENTS


def _preempts(btf: Btf) -> bool:
    """Say whether a program finds that it may be preempted. Raises OSError, also where the verifier refuses COUNT."""
    variables = btf.find(Kind.VAR, COUNT)
    if not variables or TRACEPOINT not in btf.raw_tracepoints():
        return False
    with ExitStack() as fds:
        array = bpf.create_map(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1)
        fds.callback(os.close, array)
        program = bpf.load_tracing_program(
            _reader(variables[0], array), "preempt_count", LICENCE, btf.tracepoint_type(TRACEPOINT), bytearray()
        )
        fds.callback(os.close, program)
        link = bpf.attach_tracing_program(program)
        os.getppid()
        os.close(link)
        key, found = ctypes.c_uint32(), ctypes.c_uint64()
        bpf.lookup(array, ctypes.addressof(key), ctypes.addressof(found))
    return bool(found.value) and not found.value & PREEMPT_MASK


def _reader(variable: int, array: int) -> bytes:
    """Return a program that stores this CPU's preempt count in the array's only entry, with a bit that says so."""
    return b"".join(
        (
            _insn(0x18, 0x31, 0, variable) + _insn(0),  # r1 = the variable, BPF_PSEUDO_BTF_ID
            _insn(0x85, number=_THIS_CPU_PTR),
            _insn(0x61, 0x06),  # r6 = *(u32 *)r0
            _insn(0x62, 0x0A, -4),  # *(u32 *)(r10 - 4) = 0
            _insn(0x18, 0x11, 0, array) + _insn(0),  # r1 = the array, BPF_PSEUDO_MAP_FD
            _insn(0xBF, 0xA2) + _insn(0x07, 0x02, 0, -4),  # r2 = r10 - 4
            _insn(0x85, number=1),  # BPF_FUNC_map_lookup_elem
            _insn(0x15, 0x00, 4),  # if r0 == 0 goto the end
            _insn(0x57, 0x06, 0, PREEMPT_MASK),
            _insn(0xB7, 0x01, 0, _SEEN >> 1) + _insn(0x4F, 0x16),  # r6 |= the bit
            _insn(0x7B, 0x60),  # *(u64 *)r0 = r6
            EMPTY,
        )
    )


def _has_kprobes() -> bool:
    """Attach a program to a kprobe; return True. Raises OSError where the kernel cannot."""
    program = bpf.load_kprobe_program(EMPTY, "kprobe", LICENCE, bytearray())
    try:
        os.close(bpf.attach_kprobe_program(program, iterator(TRACEPOINT)))
    finally:
        os.close(program)
    return True
