# SPDX-License-Identifier: Apache-2.0
"""Names of system calls: the decoder `syscall`. Pure."""

from __future__ import annotations

import seccomp

IA32 = 0x80000000
"""The bit that probes/include/probed.bpf.h puts on calls through the 32-bit table of x86 or of arm."""

_TABLES = {int(seccomp.Arch(seccomp.Arch.AARCH64)): ("arm", seccomp.Arch.ARM)}
_TABLE_OF_X86 = "ia32", seccomp.Arch.X86


def syscall_name(value: int | bytes, native: int = int(seccomp.Arch())) -> str:
    """Return libseccomp's name of a system call, ``syscall_N`` for an unknown number.

    A call through the 32-bit table has the name in this table, ``ia32_syscall_N`` or ``arm_syscall_N`` without one.
    `native` is the machine's architecture, a number of libseccomp.
    """
    number, prefix, arch = int(value), "", seccomp.Arch(native)
    if number & IA32:
        table, code = _TABLES.get(native, _TABLE_OF_X86)
        number, prefix, arch = number & ~IA32, f"{table}_", seccomp.Arch(code)
    try:
        name = seccomp.resolve_syscall(arch, number)
    except (ValueError, OverflowError):
        return f"{prefix}syscall_{number}"
    return name.decode() if isinstance(name, bytes) else str(name)
