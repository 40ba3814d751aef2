# SPDX-License-Identifier: Apache-2.0
"""The system calls that a serving exporter may make: a seccomp filter, by libseccomp, and Landlock.

`main` calls `confine` when everything is open and no thread runs yet. Any other call fails with ENOSYS, on which
C libraries fall back to an older call, and the kernel logs comm and number of the call ("audit: type=1326"). The filter
does not kill: an intruder gains nothing from a refused call, and another version of a library goes on counting.

The exporter can start no program and no process, open no socket, no file for writing and no file as code, look into no
other process, and do no more with BPF than read the maps and iterators of its descriptors and delete from maps. Sockets
and files that the supervisor opened and the exporter shares stay as they are:

- No connection leaves from them: a listening socket connects with MSG_FASTOPEN, a datagram socket sends to any address.
  So sendto has no address, and sendmsg, of which a filter does not see the address, is refused.
- No descriptor leaves: that takes sendmsg too.
- No signal leaves: F_SETOWN and O_ASYNC (also FIOASYNC, FIOSETOWN and SIOCSPGRP) would make the kernel send any signal
  to any process of the same user, the supervisor for instance.
- A listening socket goes on listening: shutdown is for writing alone.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import seccomp

from probed.errors import HostError
from probed.linux import bpf, landlock

Arguments = tuple[Any, ...]

FREELY: Final = (
    # Descriptors that are open, the clients among them.
    "read", "readv", "pread64", "write", "writev", "pwrite64", "close", "lseek", "fstat", "dup", "flock",
    "accept4", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg", "poll", "ppoll", "select", "pselect6",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "pipe2",
    # Files and folders, by name: control groups, /proc, tables of names.
    "newfstatat", "stat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64",
    "inotify_init1", "inotify_add_watch",
    # Memory, threads and clocks of Python and the C library.
    "munmap", "mremap", "madvise", "brk", "msync", "mincore", "memfd_create", "ftruncate",
    "futex", "set_robust_list", "rseq", "set_tid_address", "gettid", "sched_yield", "sched_getaffinity", "exit",
    "exit_group", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "uname", "sysinfo", "getcpu",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "getrusage",
)  # fmt: skip

CLONE_THREAD: Final = 0x00010000
"""Linux include/uapi/linux/sched.h."""

TERMINAL_OR_NOT, BLOCKING, CLOSE_ON_EXEC = 0x5401, 0x5421, 0x5451
"""TCGETS, FIONBIO and FIOCLEX of Linux include/uapi/asm-generic/ioctls.h."""

PR_SET_NAME, PR_SET_VMA = 15, 0x53564D41

FCNTL_COMMANDS: Final = (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL)

MSG_FASTOPEN: Final = 0x20000000
"""Linux include/linux/socket.h."""

BPF_COMMANDS: Final = (
    bpf.BPF_MAP_LOOKUP_ELEM, bpf.BPF_MAP_DELETE_BATCH, bpf.BPF_OBJ_GET_INFO_BY_FD, bpf.BPF_MAP_LOOKUP_BATCH,
    bpf.BPF_ITER_CREATE,
)  # fmt: skip
WRITING: Final = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _equal(index: int, value: int) -> Any:
    return seccomp.Arg(index, seccomp.EQ, value)


def _without(index: int, bits: int) -> Any:
    return seccomp.Arg(index, seccomp.MASKED_EQ, bits, 0)


def _sometimes() -> Iterable[tuple[str, Arguments]]:
    """Yield the calls allowed with some arguments: alternatives, each with conditions that must all hold."""
    yield "openat", (_without(2, WRITING),)
    yield "open", (_without(1, WRITING),)
    yield "mmap", (_without(2, mmap.PROT_EXEC),)
    yield "mprotect", (_without(2, mmap.PROT_EXEC),)
    yield "clone", (seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, CLONE_THREAD),)
    yield "tgkill", (_equal(0, os.getpid()),)
    yield "prlimit64", (_equal(0, 0), _equal(2, 0))
    for request in (TERMINAL_OR_NOT, BLOCKING, CLOSE_ON_EXEC):
        yield "ioctl", (_equal(1, request),)
    for command in FCNTL_COMMANDS:
        yield "fcntl", (_equal(1, command),)
    yield "sendto", (_without(3, MSG_FASTOPEN), _equal(4, 0))
    yield "shutdown", (_equal(1, socket.SHUT_WR),)
    yield "setsockopt", (_equal(1, socket.IPPROTO_TCP), _equal(2, socket.TCP_NODELAY))
    for option in (PR_SET_NAME, PR_SET_VMA):
        yield "prctl", (_equal(0, option),)
    for command in BPF_COMMANDS:
        yield "bpf", (_equal(0, command),)


def confine() -> None:
    """Install the filter in this process, for good, and give up rights with Landlock where the kernel has it.

    Raises HostError when the kernel has no seccomp filters.
    """
    try:
        landlock.restrict()
        _without_clone3().load()
        _listed().load()
    except (OSError, RuntimeError) as error:  # RuntimeError: libseccomp's own "Library error"
        raise HostError(f"the exporter cannot give up rights: {error}") from error


def _without_clone3() -> seccomp.SyscallFilter:
    """Make the C library use clone for threads: the flags of clone3 lie in memory, out of a filter's reach.

    The rule is in a filter of its own, which logs nothing: every new thread tries clone3 first.
    """
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    return rules


def _listed() -> seccomp.SyscallFilter:
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    with suppress(RuntimeError):  # a container's own filter may hide the kernel's logging
        rules.set_attr(seccomp.Attr.CTL_LOG, 1)
    for name in (*FREELY, "clone3"):
        rules.add_rule(seccomp.ALLOW, name)
    for name, arguments in _sometimes():
        rules.add_rule(seccomp.ALLOW, name, *arguments)
    return rules
