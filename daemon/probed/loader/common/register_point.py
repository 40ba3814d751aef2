# SPDX-License-Identifier: Apache-2.0
"""Attach points with registers for the programs: kprobes, uprobes and perf events. Pure.

`host` makes one from an attach point, `preemption` for a raw tracepoint; `hook_chain` writes the entries of programs.
"""

from __future__ import annotations

from probed.frozen import frozen
from probed.linux import bpf
from probed.loader.common.usdt_arguments import UsdtForms

REGISTERS = (112, 104, 96, 88, 72, 64)
"""Offsets of di, si, dx, cx, r8 and r9 in struct pt_regs of x86-64: the arguments of a function."""

RETURNED = 80
"""Offset of ax in struct pt_regs of x86-64: the value that a function returned."""

INSTRUCTION = 128
"""Offset of ip in struct pt_regs of x86-64: the address of the instruction, with which bpf_perf_event_data begins."""


@frozen
class RegisterPoint:
    """Functions or events at which programs run with registers instead of arguments.

    Functions are those of the kernel, or at `offsets` of a `file`; with `returns` programs run when a function returns.
    `registers` has the offset in struct pt_regs of each argument of a program. At a raw tracepoint the function is one
    that the kernel calls there if the tracepoint has as many programs as `switches` says. A USDT probe has `usdt`
    instead of `registers`.
    """

    functions: tuple[str, ...]
    registers: tuple[int, ...]
    switches: int = 0
    returns: bool = False
    file: str = ""
    offsets: tuple[int, ...] = ()
    event: str = ""
    usdt: UsdtForms | None = None

    @property
    def program_type(self) -> bpf.ProgramType:
        """The type of the programs."""
        if self.event:
            return bpf.PERF_EVENTS
        return bpf.UPROBES if self.file else bpf.KPROBES

    @property
    def first(self) -> int:
        """The number of the register that has the first argument, among `REGISTERS` and those below."""
        return (*REGISTERS, RETURNED, INSTRUCTION).index(self.registers[0])
