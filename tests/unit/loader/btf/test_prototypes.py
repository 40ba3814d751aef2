# SPDX-License-Identifier: Apache-2.0
"""The arguments of attach points are written as C, with names where the kernel has them."""

from __future__ import annotations

from pathlib import Path

from probed.ipc.attach_points import AttachPoint
from probed.loader.btf.format import Kind
from probed.loader.btf.prototypes import arguments
from probed.loader.btf.reader import Btf
from support.unit.btf_builder import BtfBuilder

PLACE = Path("/sys/kernel/btf/vmlinux")


def kernel(*named: str) -> Btf:
    """Return a kernel with the raw tracepoint `told` and functions with its arguments under the names `named`."""
    btf = BtfBuilder()
    number = btf.integer("int", 4, signed=True)
    task = btf.pointer(btf.struct("task_struct", 8))
    path = btf.pointer(btf.refer(Kind.CONST, btf.integer("char", 1, signed=True)))
    callback = btf.pointer(btf.prototype())
    reason = btf.enum("reason", 4, NONE=0)
    argv = btf.pointer(btf.pointer(btf.forward("argument")))
    types = {"p": task, "path": path, "call": callback, "reason": reason, "argv": argv, "n": number}
    btf.tracepoint("told", *types.values())
    for name in named:
        data = {"__data": btf.pointer(0)} if name != "vfs_told" else {}
        btf.refer(Kind.FUNC, btf.prototype(**data, **types), name)
    return Btf.parse(btf.build(), PLACE)


TYPES = "struct task_struct *, const char *, void *, enum reason, struct argument **, int"
NAMED = "struct task_struct *p, const char *path, void *call, enum reason reason, struct argument **argv, int n"
TOLD = AttachPoint("raw_tracepoint", "told")


def test_arguments_of_a_tracepoint_have_the_names_of_its_function() -> None:
    assert arguments(kernel("__probestub_told"), TOLD) == NAMED
    assert arguments(kernel("__bpf_trace_told"), TOLD) == NAMED


def test_a_tracepoint_that_shares_its_function_has_types_alone() -> None:
    assert arguments(kernel("__bpf_trace_of_several"), TOLD) == TYPES


def test_arguments_of_a_kernel_function_are_all_of_them() -> None:
    btf = kernel("vfs_told")
    assert arguments(btf, AttachPoint("fentry", "vfs_told")) == NAMED
    assert arguments(btf, AttachPoint("kprobe", "vfs_told")) == NAMED


def test_the_kernels_types_tell_nothing_of_other_places() -> None:
    btf = kernel("vfs_told")
    for kind, target in (("kprobe", "vfs_*"), ("kretprobe", "vfs_told"), ("raw_tracepoint", "unknown")):
        assert not arguments(btf, AttachPoint(kind, target))  # type: ignore[arg-type]
