# SPDX-License-Identifier: Apache-2.0
"""Names of error numbers: the decoder `errno`. Pure."""

from __future__ import annotations

import errno

_KERNEL_ERRNO = {
    35: "EDEADLK",
    95: "EOPNOTSUPP",
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    515: "ENOIOCTLCMD",
    516: "ERESTART_RESTARTBLOCK",
    517: "EPROBE_DEFER",
    518: "EOPENSTALE",
    519: "ENOPARAM",
    521: "EBADHANDLE",
    522: "ENOTSYNC",
    523: "EBADCOOKIE",
    524: "ENOTSUPP",
    525: "ETOOSMALL",
    526: "ESERVERFAULT",
    527: "EBADTYPE",
    528: "EJUKEBOX",
    529: "EIOCBQUEUED",
    530: "ERECALLCONFLICT",
}
"""The kernel's first name where Python knows an alias, and what only the kernel and its tracepoints see.
Source: Linux include/linux/errno.h."""


def errno_name(value: int | bytes) -> str:
    """Return the name of an errno, given positive or negative: ``ENOENT``; ``errno_N`` for none."""
    number = abs(int(value))
    return _KERNEL_ERRNO.get(number) or errno.errorcode.get(number, f"errno_{number}")
