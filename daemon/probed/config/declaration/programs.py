# SPDX-License-Identifier: Apache-2.0
"""The key `programs` of a declaration: the attach point of each BPF function. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from probed.config.declaration.scalars import (
    FileOffset,
    FunctionPattern,
    IteratorTarget,
    KernelFunction,
    PerfFrequency,
    PerfPeriod,
    RawTracepoint,
    UsdtArguments,
    UsdtName,
    UsdtProvider,
    UserFile,
    UserFunction,
)
from probed.frozen import frozen
from probed.ipc.attach_points import KINDS, AttachPoint, PerfEventName
from probed.schema.structure import Fault, Given, Key


@frozen
class UserCall:
    """A function of a program or library."""

    at: Given[Key]
    file: Annotated[UserFile, "The program or library: a path, or a name such as libc.so.6."]
    function: Annotated[UserFunction | None, "The function, as in the symbols of the file, such as malloc."] = None
    offset: Annotated[FileOffset | None, "Instead of the function: the offset of an instruction in the file."] = None

    def __str__(self) -> str:
        return f"{self.function or self.offset}@{self.file}"

    def check(self) -> Iterator[Fault]:
        """Yield a missing function, and an offset beside one."""
        if (self.function is None) == (self.offset is None):
            yield ("function",), "name the function, or an offset in the file"


@frozen
class UsdtProbe:
    """A USDT probe of a program or library: a mark that its authors have put into the code."""

    at: Given[Key]
    file: Annotated[UserFile, "The program or library: a path, or a name such as libstdc++.so.6."]
    provider: Annotated[UsdtProvider, "The probe's provider, such as libstdcxx."]
    name: Annotated[UsdtName, "The probe's name, such as throw."]
    arguments: Annotated[
        UsdtArguments | None, "How many of the probe's arguments the program gets, from the first on; all by default."
    ] = None

    def __str__(self) -> str:
        number = "" if self.arguments is None else f"({self.arguments})"
        return f"{self.provider}.{self.name}{number}@{self.file}"


@frozen
class PerfEvent:
    """An event that each CPU counts."""

    at: Given[Key]
    event: Annotated[PerfEventName, "The event: of the kernel's software, such as cpu-clock, or of the CPU."]
    period: Annotated[
        PerfPeriod | None, "Run each time that a CPU has counted so many events; of clocks, so many nanoseconds."
    ] = None
    frequency: Annotated[PerfFrequency | None, "Instead of the period: runs a second on each CPU."] = None

    def __str__(self) -> str:
        return f"{self.event}@{self.period or f'{self.frequency}Hz'}"

    def check(self) -> Iterator[Fault]:
        """Yield a missing period, and a frequency beside one."""
        if (self.period is None) == (self.frequency is None):
            yield ("period",), "name a period, or a frequency"


@frozen
class Program:
    """One BPF function of the C source, and its attach point."""

    at: Given[Key]
    raw_tracepoint: Annotated[
        RawTracepoint | None, "The raw tracepoint of the program, such as sched_process_exec."
    ] = None
    fentry: Annotated[KernelFunction | None, "Run at the beginning of this kernel function, such as vfs_read."] = None
    fexit: Annotated[
        KernelFunction | None,
        "Run at the return of this kernel function; the returned value is behind the arguments.",
    ] = None
    kprobe: Annotated[
        FunctionPattern | None,
        "Run at the beginning of these kernel functions: a name or a pattern, such as tcp_v?_connect.",
    ] = None
    kretprobe: Annotated[
        FunctionPattern | None,
        "Run at the return of these kernel functions: a name or a pattern; ctx->args[0] is the returned value.",
    ] = None
    uprobe: Annotated[UserCall | None, "Run at the beginning of this function of a program or library."] = None
    uretprobe: Annotated[
        UserCall | None,
        "Run at the return of this function of a program or library; ctx->args[0] is the returned value.",
    ] = None
    usdt: Annotated[
        UsdtProbe | None, "Run at a USDT probe of a program or library; ctx->args are the probe's arguments."
    ] = None
    perf_event: Annotated[
        PerfEvent | None, "Run when a CPU has counted events; ctx->args[0] is the instruction's address."
    ] = None
    iterator: Annotated[
        IteratorTarget | None,
        "Run at a scrape, for each of the kernel's objects of this kind, such as task; ctx->args[1] is the object.",
    ] = None

    @property
    def attach_point(self) -> AttachPoint:
        """The one attach point."""
        return next(AttachPoint(kind, str(target)) for kind in KINDS if (target := getattr(self, kind)) is not None)

    def check(self) -> Iterator[Fault]:
        """Yield a missing attach point, and more than one."""
        named = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not named:
            yield (), f"a program needs an attach point: one of {', '.join(KINDS)}"
        for kind in named[1:]:
            yield (kind,), f"a program has one attach point, and '{named[0]}' is there; remove one, or add a program"
