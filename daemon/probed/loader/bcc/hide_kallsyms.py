# SPDX-License-Identifier: Apache-2.0
"""Hides /proc/kallsyms from BCC, which would read the file in every compile.

`__main__` calls it before the first compile. BCC looks into /proc/kallsyms, 120,000 lines, for
bpf_probe_read_kernel(). Without an address BCC writes bpf_probe_read() instead, with the same effect on machines whose
kernel and user addresses do not overlap. In the loader, which has no CAP_SYSLOG, BCC finds no address anyway, but
reads for 40 ms: longer than the rest of an empty compile.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from probed.loader.headers.syscall_numbers import import_seccomp


def hide_kallsyms() -> None:
    """Make openat(2) without O_CLOEXEC fail with EACCES, in this process and its children.

    Only BCC's read of /proc/kallsyms is affected: Python, clang, libbpf and the C library open with O_CLOEXEC. Raises
    HostError without libseccomp.
    """
    seccomp = import_seccomp()
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.add_rule(seccomp.ERRNO(errno.EACCES), "openat", seccomp.Arg(2, seccomp.EQ, os.O_RDONLY))
    with suppress(OSError, RuntimeError):  # no seccomp filters here: BCC reads the file; libseccomp raises RuntimeError
        rules.load()
