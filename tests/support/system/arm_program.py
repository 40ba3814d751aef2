# SPDX-License-Identifier: Apache-2.0
"""A program of 32-bit ARM, which an arm64 kernel runs, without a compiler for it.

Sources: Arm Architecture Reference Manual for A-profile, A32 instructions; Linux arch/arm/tools/syscall.tbl; elf(5).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

FCNTL64, GETPPID, EXIT = 221, 64, 1
"""System calls of 32-bit ARM. In the table of arm64, 221 is execve and 64 is write."""

_ADDRESS: Final = 0x10000
_HEADERS: Final = struct.Struct("<16sHHIIIIIHHHHHH IIIIIIII")
_EM_ARM, _EF_ARM_EABI_VER5 = 40, 0x05000000

_CALL, _COUNT_DOWN = 0xEF000000, 0xE2544001  # svc 0; subs r4, r4, #1
_NO_FILE, _SUCCESS = 0xE3E00000, 0xE3A00000  # mvn r0, #0; mov r0, #0


def write_arm_program(path: Path, fcntls: int, getppids: int) -> None:
    """Write a program that calls fcntl64 of no file and getppid so many times, each less than 65,536."""
    code = [
        _set(4, fcntls), _NO_FILE, _set(7, FCNTL64), _CALL, _COUNT_DOWN, _back_if_not_zero(4),
        _set(4, getppids), _set(7, GETPPID), _CALL, _COUNT_DOWN, _back_if_not_zero(3),
        _SUCCESS, _set(7, EXIT), _CALL,
    ]  # fmt: skip
    text = struct.pack(f"<{len(code)}I", *code)
    identity, size = b"\x7fELF\x01\x01\x01".ljust(16, b"\0"), _HEADERS.size + len(text)
    header = (identity, 2, _EM_ARM, 1, _ADDRESS + _HEADERS.size, 52, 0, _EF_ARM_EABI_VER5, 52, 32, 1, 40, 0, 0)
    segment = (1, 0, _ADDRESS, _ADDRESS, size, size, 5, 0x10000)
    path.write_bytes(_HEADERS.pack(*header, *segment) + text)
    path.chmod(0o755)


def _set(register: int, value: int) -> int:
    """Return movw: a register's new value of 16 bits."""
    return 0xE3000000 | value >> 12 << 16 | register << 12 | value & 0xFFF


def _back_if_not_zero(instructions: int) -> int:
    """Return bne to so many instructions before; the processor counts from the second one after."""
    return 0x1A000000 | (-instructions - 2) & 0xFFFFFF
