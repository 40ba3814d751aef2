# SPDX-License-Identifier: Apache-2.0
"""The kernel's list of symbols, taken away from BCC, which would read it in every compile.

`__main__` calls `take_away` before the first compile. BCC asks /proc/kallsyms, 120,000 lines, whether the kernel has
bpf_probe_read_kernel(). Where it finds no address it writes bpf_probe_read() instead, which is the same on machines
whose kernel and user addresses do not overlap. It finds none in the loader anyway, which has no CAP_SYSLOG; but it
reads for 40 ms, longer than all else takes it to compile nothing.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from probed.loader.headers.syscall_numbers import import_seccomp


def take_away() -> None:
    """Refuse to open files that an exec would not close, for this process and all that it forks.

    Of what the loader opens that is BCC's list alone: Python, clang, libbpf and the C library set O_CLOEXEC. Raises
    HostError when libseccomp is not there.
    """
    seccomp = import_seccomp()
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.add_rule(seccomp.ERRNO(errno.EACCES), "openat", seccomp.Arg(2, seccomp.EQ, os.O_RDONLY))
    with suppress(OSError, RuntimeError):  # no seccomp filters here: then BCC reads; the second is libseccomp's own
        rules.load()
