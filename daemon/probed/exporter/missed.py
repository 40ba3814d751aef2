# SPDX-License-Identifier: Apache-2.0
"""How often the kernel left a program out: read at the scrape, from what /proc tells about the supervisor's fd of it.

A raw tracepoint goes past a program that is already running on the CPU. Where the kernel can preempt a program in the
middle, as Linux 7.2 can and 6.12 could not, that happens whenever another task comes there meanwhile, and nothing but
this number tells. `probe` reads it; a program's own fd would be more than the exporter should have.
"""

from __future__ import annotations

import os
import re

_MISSES = re.compile(rb"^recursion_misses:\t(\d+)$", re.MULTILINE)


def missed_runs(fdinfo: int) -> int:
    """Return how often a program was left out, by an open file /proc/PID/fdinfo/FD; 0 where the kernel does not count.

    Raises OSError. Source: bpf_prog_show_fdinfo() in Linux kernel/bpf/syscall.c; Linux commit 9ed9e9ba2337 ("bpf: Count
    the number of times recursion was prevented") (in v5.12).
    """
    found = _MISSES.search(os.pread(fdinfo, 4096, 0))
    return int(found[1]) if found else 0
