# SPDX-License-Identifier: Apache-2.0
"""Names of system calls: the decoder `syscall`. Pure."""

from __future__ import annotations

import seccomp

IA32 = 0x80000000
"""The bit that probes/include/probed.bpf.h puts on calls through the 32-bit table of x86 or of arm."""


def syscall_name(value: int | bytes, native: int | None = None) -> str:
    """Return libseccomp's name of a system call, ``syscall_N`` for an unknown number.

    A call through the 32-bit table has the name in this table, ``ia32_syscall_N`` or ``arm_syscall_N`` without one.
    `native` is another architecture than the machine's, a number of libseccomp.
    """
    number, prefix = int(value), ""
    arch = seccomp.Arch() if native is None else seccomp.Arch(native)
    if number & IA32:
        is_arm = int(arch) == int(seccomp.Arch(seccomp.Arch.AARCH64))
        arch = seccomp.Arch(seccomp.Arch.ARM if is_arm else seccomp.Arch.X86)
        number, prefix = number & ~IA32, "arm_" if is_arm else "ia32_"
    try:
        name = seccomp.resolve_syscall(arch, number)
    except (ValueError, OverflowError):
        return f"{prefix}syscall_{number}"
    return name.decode() if isinstance(name, bytes) else str(name)
