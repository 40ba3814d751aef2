# SPDX-License-Identifier: Apache-2.0
"""prctl(2), capget(2), capset(2), malloc_trim(3) and syscall(2), which Python's library does not have.

Each is a short function that raises OSError with errno. `linux.bpf` has bpf(2); `privilege` decides on capabilities.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

LINUX_CAPABILITY_VERSION_3 = 0x20080522


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
    libc.syscall.restype = ctypes.c_long
    libc.capget.argtypes = libc.capset.argtypes = (ctypes.POINTER(_CapHeader), ctypes.POINTER(_CapData))
    return libc


def checked(result: int) -> int:
    """Return what a function of libc returned. Raises OSError with errno for a negative number."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def trim_heap() -> None:
    """Call malloc_trim(3), which glibc has: other C libraries give memory back by themselves."""
    with suppress(AttributeError):
        _libc().malloc_trim(0)


def syscall(number: int, *arguments: int | None) -> int:
    """Make a system call for which the C library has no function; None is a null pointer."""
    return checked(_libc().syscall(*map(ctypes.c_long, (number, *(each or 0 for each in arguments)))))


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """Call prctl(2) with the remaining arguments 0."""
    return checked(_libc().prctl(option, argument, argument3, 0, 0))


def capget() -> tuple[int, int, int]:
    """Return this process's (effective, permitted, inheritable) capability sets as bit masks."""
    data = (_CapData * 2)()
    checked(_libc().capget(_CapHeader(LINUX_CAPABILITY_VERSION_3, 0), data))
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
    checked(_libc().capset(_CapHeader(LINUX_CAPABILITY_VERSION_3, 0), data))
