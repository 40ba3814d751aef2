# SPDX-License-Identifier: Apache-2.0
"""Names of system calls: the decoder `syscall`. Pure."""

from __future__ import annotations

import seccomp

IA32 = 0x80000000
"""The bit that probes/include/probed.bpf.h puts on calls through the 32-bit table of x86."""


def syscall_name(value: int | bytes) -> str:
    """Return libseccomp's name of a system call, ``syscall_N`` for an unknown number.

    A call through the 32-bit table has the name in this table, ``ia32_syscall_N`` without one.
    """
    number = int(value)
    ia32 = bool(number & IA32)
    arch = seccomp.Arch(seccomp.Arch.X86) if ia32 else seccomp.Arch()
    number &= ~IA32
    try:
        name = seccomp.resolve_syscall(arch, number)
    except (ValueError, OverflowError):
        return f"ia32_syscall_{number}" if ia32 else f"syscall_{number}"
    return name.decode() if isinstance(name, bytes) else str(name)
