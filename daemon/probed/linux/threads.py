# SPDX-License-Identifier: Apache-2.0
"""The kernel's limit of threads: the loader sizes maps with an entry for each living process by this limit."""

from __future__ import annotations

from pathlib import Path


def max_threads(root: Path = Path("/")) -> int:
    """Return the most threads that the kernel allows at once, by default derived from memory. Raises OSError.

    Source: Linux Documentation/admin-guide/sysctl/kernel.rst, threads-max.
    """
    return int((root / "proc/sys/kernel/threads-max").read_text())
