# SPDX-License-Identifier: Apache-2.0
"""Opens perf events, one for each CPU, and explains refusals. `attachment` attaches programs to the events.

Source: perf_event_open(2), Linux include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from probed.ipc.attach_points import PerfEventName
from probed.linux.cpus import online_cpus
from probed.linux.syscalls import checked

EVENTS: Final[Mapping[PerfEventName, tuple[int, int]]] = {
    "cpu-clock": (1, 0), "task-clock": (1, 1), "page-faults": (1, 2), "context-switches": (1, 3),
    "cpu-migrations": (1, 4), "minor-faults": (1, 5), "major-faults": (1, 6), "cycles": (0, 0), "instructions": (0, 1),
    "cache-references": (0, 2), "cache-misses": (0, 3), "branch-instructions": (0, 4), "branch-misses": (0, 5),
}  # fmt: skip
"""PERF_TYPE_HARDWARE (0) or PERF_TYPE_SOFTWARE (1), and the number of the event."""

MOST_CPUS: Final = 250
"""Most links of a hook: one message takes 253 descriptors, SCM_MAX_FD of Linux include/net/scm.h."""

_NUMBER: Final = {"x86_64": 298, "aarch64": 241}
"""The number of perf_event_open(2), which glibc does not wrap."""

_ATTRIBUTES = struct.Struct("=IIQQQQQ72x")  # struct perf_event_attr: type, size, config, period, …, flags
_FREQUENCY = 1 << 10  # its bit-field `freq`
_CLOEXEC = 8  # PERF_FLAG_FD_CLOEXEC


@contextmanager
def opened(target: str, root: Path = Path("/")) -> Iterator[list[int]]:
    """Open the event of an attach point on every online CPU, for the time of the context. Raises OSError."""
    fds: list[int] = []
    cpus = online_cpus(root)
    if len(cpus) > MOST_CPUS:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    try:
        for cpu in cpus:
            fds.append(_open(target, cpu))
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _open(target: str, cpu: int) -> int:
    """Open an event for all processes on one CPU."""
    name, _, rate = target.partition("@")
    kind, number = EVENTS[cast(PerfEventName, name)]
    flags = _FREQUENCY if rate.endswith("Hz") else 0
    attributes = ctypes.create_string_buffer(
        _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, number, int(rate.removesuffix("Hz")), 0, 0, flags), _ATTRIBUTES.size
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    where = map(ctypes.c_long, (-1, cpu, -1, _CLOEXEC))  # all processes, no group
    return checked(libc.syscall(ctypes.c_long(_NUMBER[os.uname().machine]), ctypes.byref(attributes), *where))


def paranoid(root: Path = Path("/")) -> str:
    """Return the sysctl kernel.perf_event_paranoid, "" where systemd's ProcSubset=pid hides it."""
    try:
        return (root / "proc/sys/kernel/perf_event_paranoid").read_text().strip()
    except OSError:
        return ""


def explain(number: int, level: str) -> str:
    """Return the cause of a refusal with errno `number`, with the remedy; `level` is what `paranoid` returns."""
    if number in (errno.EPERM, errno.EACCES):
        now = f" (now {level})" if level else ""
        return (
            f"perf_event_open(2) takes CAP_PERFMON, or CAP_SYS_ADMIN where kernel.perf_event_paranoid{now} "
            "is above 2; and in the unit the drop-in perf-events.conf, which allows the call"
        )
    if number in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
        return "this machine does not count the event; many virtual machines have those of software only"
    if number == errno.E2BIG:
        return f"a hook has one link for each CPU, and at most {MOST_CPUS}"
    if number == errno.EINVAL:
        return (
            "attachments to perf events take Linux 5.15, and a frequency is at most kernel.perf_event_max_sample_rate"
        )
    return "the kernel lacks the means for it now"
