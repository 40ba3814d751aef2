# SPDX-License-Identifier: Apache-2.0
"""The kernel's limit of threads: the loader sizes maps with an entry for each living process by this limit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BYTES_A_THREAD: Final = 8 * (16 << 10)
"""Memory for each thread of the default limit: set_max_threads() in Linux kernel/fork.c, THREAD_SIZE of 16 KiB."""


def max_threads(root: Path = Path("/")) -> int:
    """Return the most threads that the kernel allows at once, by default derived from memory. Raises OSError.

    A mount of /proc without /proc/sys, as of systemd's ProcSubset=pid, hides the limit: then return the default.
    Source: Linux Documentation/admin-guide/sysctl/kernel.rst, threads-max.
    """
    try:
        return int((root / "proc/sys/kernel/threads-max").read_text())
    except FileNotFoundError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // BYTES_A_THREAD
