# SPDX-License-Identifier: Apache-2.0
"""Landlock: rights that a process gives up for good, beside its seccomp filter.

Source: Linux Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from probed.linux import syscalls

CREATE_RULESET: Final = 444
RESTRICT_SELF: Final = 446
"""System call numbers, the same on every machine."""

CREATE_RULESET_VERSION: Final = 1 << 0

READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""LANDLOCK_ACCESS_FS_* by the ABI that added them."""
TCP_RIGHTS: Final = {4: 1 << 0 | 1 << 1}
"""LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP."""
SCOPES: Final = {6: 1 << 0 | 1 << 1}
"""LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL."""


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr; a kernel with a shorter one accepts this one if the rest is 0."""

    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def abi() -> int:
    """Return the version of the kernel's Landlock, 0 where there is none or a container's filter refuses the call."""
    try:
        return syscalls.syscall(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    except OSError:  # ENOSYS, EOPNOTSUPP; EPERM by a filter
        return 0


def restrict() -> int:
    """Give up what this kernel's Landlock knows; return its ABI, 0 where nothing is given up.

    Afterwards this process changes, creates and executes no file that is opened later, binds and connects no TCP
    socket, reaches no abstract Unix socket, and signals no other process, not even through F_SETOWN. The process needs
    no_new_privs. Raises OSError.
    """
    version = abi()
    if not version:
        return 0
    files, tcp, scopes = (_known(rights, version) for rights in (FILE_RIGHTS, TCP_RIGHTS, SCOPES))
    ruleset = _Ruleset(files & ~(READ_FILE | READ_DIR), tcp, scopes)
    fd = syscalls.syscall(CREATE_RULESET, ctypes.addressof(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        syscalls.syscall(RESTRICT_SELF, fd, 0)
    finally:
        os.close(fd)
    return version


def _known(rights: dict[int, int], version: int) -> int:
    return sum(bits for since, bits in rights.items() if since <= version)
