# SPDX-License-Identifier: Apache-2.0
"""Attaches loaded programs, and explains the kernel's refusals: many kernels lack a kind of attach point.

`bcc.compiler` and `core.core_module` attach with it; `pipeline` asks why a kernel refused a program at a function.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Final

from probed.errors import LoadError, Reason
from probed.ipc.attach_points import AttachPoint, Kind
from probed.linux import bpf
from probed.loader.btf.reader import ITERATOR_FUNCTION, Btf
from probed.loader.common import perf_events
from probed.loader.common.register_point import RegisterPoint
from probed.loader.errors import eperm
from probed.loader.errors.eperm import EpermFacts

NO_MULTI_LINKS = (errno.EINVAL, errno.EOPNOTSUPP)
"""Errors of kernels without multi links of kprobes: before Linux 5.18, and built without CONFIG_FPROBE."""

NO_UPROBES: Final = "this kernel has no multi links of uprobes: they take Linux 6.6 and CONFIG_UPROBES"
OR_NO_SEMAPHORE: Final = "; or another tracer is at the same place without the probe's semaphore: detach that one"

ENOTSUPP: Final = 524
"""The kernel's own errno, which the C library has no name for. Source: Linux include/linux/errno.h."""

TRACING: Final[Mapping[Kind, int]] = {
    "raw_tracepoint": bpf.BPF_TRACE_RAW_TP, "fentry": bpf.BPF_TRACE_FENTRY, "fexit": bpf.BPF_TRACE_FEXIT,
    "iterator": bpf.BPF_TRACE_ITER,
}  # fmt: skip
"""Kinds of attach points whose arguments have types for the verifier, each with a number of enum bpf_attach_type."""


def tracing_type(btf: Btf, point: AttachPoint) -> bpf.ProgramType:
    """Return the type of programs at a raw tracepoint, a function or an iterator. Raises KeyError."""
    if point.kind == "raw_tracepoint":
        return bpf.tracing(btf.tracepoint_type(point.target))
    prefix = ITERATOR_FUNCTION if point.kind == "iterator" else ""
    return bpf.tracing(btf.function_type(prefix + point.target), TRACING[point.kind])


def attach(probe: str, program: str, fd: int, attach_point: str, kprobe: RegisterPoint | None = None) -> list[int]:
    """Attach a loaded program, in a kprobe to the functions of that; return the attachments' fds. Raises LoadError."""
    point = AttachPoint.parse(attach_point)
    try:
        if kprobe and kprobe.event:
            return _attach_to_events(fd, kprobe.event)
        if point.kind == "iterator":
            return [bpf.attach_iterator_program(fd, point.target)]
        return [_attach_to_functions(fd, kprobe) if kprobe else bpf.attach_tracing_program(fd)]
    except OSError as error:
        number = error.errno or 0
    reason: Reason = "attach_point"
    cause = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
    if number in (errno.EPERM, errno.EACCES):
        reason, why = eperm.explain_eperm("attachment", EpermFacts.gather())
    if kprobe and kprobe.event:
        cause = f"{cause}; {perf_events.explain(number, perf_events.paranoid())}"
    elif number in (errno.EPERM, errno.EACCES):
        cause = f"{cause}; {why}"
    elif kprobe and kprobe.file and number in NO_MULTI_LINKS:
        has_semaphore = kprobe.usdt and any(kprobe.usdt.semaphores)
        cause = f"{cause}; {NO_UPROBES}{OR_NO_SEMAPHORE if has_semaphore else ''}"
    elif kprobe and number in NO_MULTI_LINKS:
        cause = f"{cause}; this kernel has no multi links of kprobes: they take Linux 5.18 and CONFIG_FPROBE"
    elif not kprobe and number == ENOTSUPP:
        cause = (
            "ENOTSUPP (524); this kernel has no programs at functions: they take "
            "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, which arm64 has since Linux 6.4"
        )
    elif kprobe and number == errno.ESRCH:
        cause = f"{cause}; the kernel cannot trace this function: take one that calls it, or that it calls"
    raise LoadError(probe, reason, f"cannot attach '{program}' to {point.phrase}: {cause}", number)


def _attach_to_events(fd: int, event: str) -> list[int]:
    """Attach a program to an event of every CPU: all or none. Raises OSError."""
    links: list[int] = []
    with perf_events.opened(event) as events:
        try:
            for each in events:
                links.append(bpf.attach_perf_program(fd, each))
        except OSError:
            for link in links:
                os.close(link)
            raise
    return links


def _attach_to_functions(fd: int, kprobe: RegisterPoint) -> int:
    """Attach a program to all functions of a kprobe that the kernel can trace. Raises OSError: ESRCH for none."""
    if kprobe.file:
        usdt = (kprobe.usdt.semaphores, kprobe.usdt.numbers) if kprobe.usdt else ()
        return bpf.attach_uprobe_program(fd, bpf.FilePlaces(kprobe.file, kprobe.offsets, *usdt), kprobe.returns)
    try:
        return bpf.attach_kprobe_program(fd, kprobe.functions, kprobe.returns)
    except ProcessLookupError:
        traceable = _traceable(fd, kprobe.functions)
        if not traceable:
            raise
    return bpf.attach_kprobe_program(fd, traceable, kprobe.returns)


def _traceable(fd: int, functions: Sequence[str]) -> list[str]:
    """Return the functions that the kernel can trace: attaches and detaches halves of a list that it refused.

    No program runs meanwhile, because the array behind the hook is empty.
    """
    if len(functions) == 1:
        return []
    found: list[str] = []
    for half in (functions[: len(functions) // 2], functions[len(functions) // 2 :]):
        try:
            os.close(bpf.attach_kprobe_program(fd, half))
            found += half
        except ProcessLookupError:
            found += _traceable(fd, half)
    return found


def lacks_uprobes(btf: Btf) -> bool:
    """Say whether the kernel has no multi links of uprobes, by the names of its enum."""
    return "BPF_TRACE_UPROBE_MULTI" not in {each.name for each in btf.enum_constants("bpf_attach_type")}


def function_refusal(btf: Btf, point: AttachPoint) -> OSError | None:
    """Return the error with which the kernel refuses even an empty program at a function; None for another kind."""
    if point.kind not in ("fentry", "fexit"):
        return None
    try:
        os.close(bpf.load_program(bpf.RETURN_0, "trial", tracing_type(btf, point), bytearray()))
    except OSError as error:
        return error
    return None
