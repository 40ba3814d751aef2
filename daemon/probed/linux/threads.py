# SPDX-License-Identifier: Apache-2.0
"""The kernel's limit of threads: the loader sizes maps with an entry for each living process by this limit."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PID_MAX_LIMIT: Final = 1 << 22
"""Most thread ids of a 64-bit kernel: Linux include/linux/threads.h."""


def max_threads(root: Path = Path("/")) -> int:
    """Return the most threads that the kernel allows at once, by default derived from memory. Raises OSError.

    A mount of /proc without /proc/sys, as of systemd's ProcSubset=pid, hides the limit: then return PID_MAX_LIMIT.
    Source: Linux Documentation/admin-guide/sysctl/kernel.rst, threads-max.
    """
    try:
        return int((root / "proc/sys/kernel/threads-max").read_text())
    except FileNotFoundError:
        return PID_MAX_LIMIT
