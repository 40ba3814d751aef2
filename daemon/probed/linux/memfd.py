# SPDX-License-Identifier: Apache-2.0
"""Memory files. Every process with the descriptor can read a sealed one, none can change its content.

Source: memfd_create(2), fcntl(2) on F_ADD_SEALS.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed(name: str, content: bytes) -> int:
    """Write a sealed memory file; return the fd. Raises OSError."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def is_sealed(fd: int, name: str) -> bool:
    """Say whether a descriptor is a sealed memory file called `name`."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # EINVAL: no memfd
        return False
    return seals & SEALS == SEALS and is_called(fd, name)


def is_called(fd: int, name: str) -> bool:
    """Say whether a descriptor is a memory file called `name`. Raises OSError for a closed descriptor."""
    return os.readlink(f"/proc/self/fd/{fd}") == f"/memfd:{name} (deleted)"


def read(fd: int) -> bytes:
    """Read a memory file whole. The offset does not matter: copies of a descriptor share one. Raises OSError."""
    return os.pread(fd, os.fstat(fd).st_size, 0)
