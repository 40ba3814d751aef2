# SPDX-License-Identifier: Apache-2.0
"""Pages of a machine with a storm: a unit that starts programs in a loop, beside usual work."""

from __future__ import annotations

from support.top.pages import lives, page, series

_EXECS = {
    ("media.service", "ffprobe", "transcoder"): 431.0,
    ("media.service", "sh", "transcoder"): 49.0,
    ("ci.service", "cc1", "gcc"): 37.0,
    ("ci.service", "gcc", "make"): 38.0,
    ("backup.timer", "zstd", "backup"): 2.0,
    ("user@1000.service/app.slice", "git", "zsh"): 4.0,
    ("docker:4f66ad9a0b2e", "healthcheck", "runc"): 1.0,
}
_SHORT = {"ffprobe": 0.998, "sh": 0.995, "cc1": 0.61, "gcc": 0.42, "zstd": 0.0, "git": 1.0, "healthcheck": 1.0}
_OPENS = {
    "media.service": 12_310.0,
    "ci.service": 5_903.0,
    "docker:4f66ad9a0b2e": 1_207.0,
    "user@1000.service/app.slice": 419.0,
    "init.scope": 13.0,
}
_OPEN_FAILURES = {
    ("media.service", "ffprobe", "ENOENT"): 4_310.0,
    ("docker:4f66ad9a0b2e", "nginx", "EMFILE"): 211.0,
    ("ci.service", "cc1", "ENOENT"): 1_880.0,
    ("user@1000.service/app.slice", "git", "EACCES"): 2.0,
}
_SYSCALLS = {
    "futex": 188_213.0,
    "read": 61_840.0,
    "openat": 19_852.0,
    "mmap": 17_023.0,
    "epoll_wait": 9_410.0,
    "write": 8_114.0,
    "close": 15_218.0,
    "clone": 523.0,
    "execve": 562.0,
}
_SYSCALL_FAILURES = {("futex", "EAGAIN"): 9_411.0, ("openat", "ENOENT"): 6_190.0, ("read", "EAGAIN"): 1_203.0}


def counts(seconds: float) -> dict[str, float]:
    """Return the values by series after some seconds of the storm."""
    found: dict[str, float] = {}
    forks: dict[str, float] = {}
    for (unit, comm, parent), rate in _EXECS.items():
        count = rate * seconds
        found[series("probed_process_execs_total", unit=unit, comm=comm, parent=parent)] = count
        forks[unit] = forks.get(unit, 0.0) + count
        found |= lives(count, count * _SHORT[comm], unit=unit, comm=comm, exit="ok")
    found |= {series("probed_process_forks_total", unit=unit): count for unit, count in forks.items()}
    found |= {series("probed_opens_total", unit=unit): rate * seconds for unit, rate in _OPENS.items()}
    for (unit, comm, errno), rate in _OPEN_FAILURES.items():
        found[series("probed_open_failures_total", unit=unit, comm=comm, errno=errno)] = rate * seconds
    failed = series("probed_process_exec_failures_total", unit="media.service", comm="sh", errno="ENOENT")
    found[failed] = 49.0 * seconds
    found |= {series("probed_syscalls_total", syscall=call): rate * seconds for call, rate in _SYSCALLS.items()}
    for (call, errno), rate in _SYSCALL_FAILURES.items():
        found[series("probed_syscall_failures_total", syscall=call, errno=errno)] = rate * seconds
    found[series("probed_events_lost_total", probe="process", reason="ring_full")] = 0.0
    found[series("probed_events_lost_total", probe="syscalls", reason="map_full")] = 17.0
    found[series("probed_probe_up", probe="process")] = 1.0
    return found


def storm(seconds: float) -> str:
    """Return the page after some seconds of the storm."""
    return page(counts(seconds))
