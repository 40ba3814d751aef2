# SPDX-License-Identifier: Apache-2.0
"""Causes and remedies of errors by which the kernel or the unit limits this process."""

from __future__ import annotations

import errno

REMEDIES = {
    errno.EAGAIN: "too many processes run: see TasksMax= of the unit, pids.max of its control group, ulimit -u",
    errno.EFBIG: "memory for counts is a file, and files may not grow here: raise LimitFSIZE= of the unit, ulimit -f",
    errno.EMFILE: "too many files are open here: raise LimitNOFILE= of the unit, ulimit -n",
    errno.ENOMEM: "memory is short",
}


def why_not(error: OSError) -> str:
    """Return cause and remedy of a failed start, descriptor or file, as the end of a sentence."""
    number = error.errno or 0
    cause = f"{error.strerror} ({errno.errorcode.get(number, '')})"
    return f"{cause}; {REMEDIES[number]}" if number in REMEDIES else cause
