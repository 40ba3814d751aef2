# SPDX-License-Identifier: Apache-2.0
"""The system calls that Python's library does not have, under the kernel's own names.

One short function a call; each raises OSError with errno. No policy here: `privilege` and `exporter.maps` decide.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from functools import cache

PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

LINUX_CAPABILITY_VERSION_3 = 0x20080522

BPF_MAP_CREATE = 0
BPF_MAP_LOOKUP_ELEM = 1
BPF_MAP_UPDATE_ELEM = 2
BPF_MAP_DELETE_ELEM = 3
BPF_PROG_LOAD = 5
BPF_PROG_GET_FD_BY_ID = 13
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_RAW_TRACEPOINT_OPEN = 17
BPF_MAP_LOOKUP_BATCH = 24
BPF_MAP_TYPE_ARRAY = 2
BPF_MAP_TYPE_PROG_ARRAY = 3
BPF_PROG_TYPE_TRACING = 26
BPF_TRACE_RAW_TP = 23
_ATTRIBUTE_BYTES = 144
_INSN_BYTES = 8

_BPF_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
"""The number of bpf(2), which glibc does not wrap: arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h."""


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = (ctypes.c_int,) + 4 * (ctypes.c_ulong,)
    libc.capget.argtypes = libc.capset.argtypes = (ctypes.POINTER(_CapHeader), ctypes.POINTER(_CapData))
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def trim_heap() -> None:
    """Call malloc_trim(3), which glibc has: other C libraries give memory back by themselves."""
    with suppress(AttributeError):
        _libc().malloc_trim(0)


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """Call prctl(2) with the remaining arguments 0."""
    return _checked(_libc().prctl(option, argument, argument3, 0, 0))


def capget() -> tuple[int, int, int]:
    """Return this process's (effective, permitted, inheritable) capability sets as bit masks."""
    data = (_CapData * 2)()
    _checked(_libc().capget(_CapHeader(LINUX_CAPABILITY_VERSION_3, 0), data))
    low, high = data
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this process's capability sets, given as bit masks."""
    data = (_CapData * 2)()
    for half, shift in ((0, 0), (1, 32)):
        sets = ((mask >> shift) & 0xFFFFFFFF for mask in (effective, permitted, inheritable))
        data[half] = _CapData(*sets)
    _checked(_libc().capset(_CapHeader(LINUX_CAPABILITY_VERSION_3, 0), data))


def bpf(command: int, attribute: ctypes.Array[ctypes.c_char]) -> int:
    """Call bpf(2); `attribute` is the bytes of union bpf_attr, which the kernel may write to."""
    number = _BPF_NUMBER[os.uname().machine]
    return _checked(_libc().syscall(number, command, ctypes.addressof(attribute), ctypes.sizeof(attribute)))


def _attribute(form: str, *values: int | bytes) -> ctypes.Array[ctypes.c_char]:
    packed = struct.pack(f"<{form}", *values)
    return ctypes.create_string_buffer(packed.ljust(_ATTRIBUTE_BYTES, b"\0"), max(_ATTRIBUTE_BYTES, len(packed)))


def _element(fd: int, index: int, value: int) -> tuple[ctypes.Array[ctypes.c_char], list[ctypes.c_uint32]]:
    key, held = ctypes.c_uint32(index), ctypes.c_uint32(value)
    return _attribute("IxxxxQQQ", fd, ctypes.addressof(key), ctypes.addressof(held), 0), [key, held]


def program_array(slots: int) -> int:
    """Make an array of programs and return its fd. Its programs leave it when its last fd is closed."""
    return bpf(BPF_MAP_CREATE, _attribute("IIIII", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, slots, 0))


def put_program(array: int, slot: int, program: int) -> None:
    """Put the program behind an fd into a slot of an array of programs."""
    attribute, _alive = _element(array, slot, program)
    bpf(BPF_MAP_UPDATE_ELEM, attribute)


def take_program(array: int, slot: int) -> None:
    """Empty a slot of an array of programs, whether there is one in it or not."""
    index = ctypes.c_uint32(slot)
    attribute = _attribute("IxxxxQ", array, ctypes.addressof(index))
    with suppress(FileNotFoundError):
        bpf(BPF_MAP_DELETE_ELEM, attribute)


def program_id(array: int, slot: int) -> int:
    """Return the id of the program in a slot of an array of programs, 0 where there is none."""
    attribute, (_, found) = _element(array, slot, 0)
    with suppress(FileNotFoundError):
        bpf(BPF_MAP_LOOKUP_ELEM, attribute)
    return found.value


def load_tracing_program(code: bytes, name: str, licence: bytes, tracepoint_type: int, log: bytearray) -> int:
    """Load byte code for the raw tracepoint with that BTF type (``btf_trace_NAME``); return its fd.

    The verifier writes what it says into `log`, as text that ends with a NUL; nothing, where that has no room.
    """
    insns, terms = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(licence)
    level, said = (1, ctypes.addressof((ctypes.c_char * len(log)).from_buffer(log))) if log else (0, 0)
    attribute = _attribute(
        "IIQQIIQII16sIIIIQIIQIII",
        BPF_PROG_TYPE_TRACING, len(code) // _INSN_BYTES, ctypes.addressof(insns), ctypes.addressof(terms),
        level, len(log), said, 0, 0, name.encode()[:15], 0, BPF_TRACE_RAW_TP, 0, 0, 0, 0, 0, 0, 0, tracepoint_type, 0,
    )  # fmt: skip
    return bpf(BPF_PROG_LOAD, attribute)


def attach_tracing_program(program: int) -> int:
    """Attach a program to the raw tracepoint that it was loaded for; return the attachment's fd."""
    return bpf(BPF_RAW_TRACEPOINT_OPEN, _attribute("QI", 0, program))
