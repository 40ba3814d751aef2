# SPDX-License-Identifier: Apache-2.0
"""Checks BTF's offsets of struct members against helpers, /proc and wait.

`__main__` asks once for all probes, and refuses a probe that uses a member at another offset than BTF's. A wrong
layout gives wrong values silently, which is worse than no value.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from probed.errors import LoadError
from probed.frozen import frozen
from probed.ipc import loader_output
from probed.linux import bpf, syscalls, time_namespace
from probed.loader.common.module import Module
from probed.loader.errors import stderr
from probed.loader.headers.syscall_numbers import number_of

Member = tuple[str, str]
"""Struct and member."""

PROGRAMS = {"on_return": "sys_exit", "on_exit": "sched_process_exit"}
EXIT_STATUS = 37
CHILD, PARENT = 0, 1
SIGNAL_GROUP_EXIT = 4


@frozen
class Known:
    """Facts on the child that need no kernel struct.

    `start_ticks` counts from the boot as the time namespace shows it, `boottime_offset` nanoseconds before the host's.
    """

    pid: int
    parent: int
    start_ticks: int
    ticks_per_second: int
    boottime_offset: int
    syscall: int


class Watch:
    """A running canary, in its own process, while this process loads the probes.

    Its programs stay attached until `release`. For ten milliseconds after the last program of a tracepoint has gone,
    an attachment at any tracepoint waits: tp_rcu_cond_sync() in Linux kernel/tracepoint.c. So a probe comes first.
    """

    def __init__(self, make: Callable[[], Module]) -> None:
        """Start the canary; its process calls `make` for the programs."""
        self._text: bytes | None = None
        self._ending = ""
        (self._answer, end), (held, self._held) = os.pipe(), os.pipe()
        self._output = loader_output.create()
        loader = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _end_with(loader)
            stderr.redirect(self._output)
            os.close(self._held)
            try:
                module, findings = _findings(make)
                os.write(end, json.dumps(findings).encode())
                os.close(end)
                os.read(held, 1)
                del module  # attached until here
            except Exception:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(end)
        os.close(held)

    def wrong_members(self) -> dict[Member, str]:
        """Wait for the canary's answer; return the findings, or raise the canary's LoadError."""
        if not self._read_answer():
            self.wait()
            raise LoadError("canary", "internal", f"the canary's process ended without an answer{self._ending}")
        wrong, refused = json.loads(self._read_answer())
        if refused:
            raise LoadError(*refused)
        return {(struct, member): why for struct, member, why in wrong}

    def _read_answer(self) -> bytes:
        if self._text is None:
            with os.fdopen(self._answer, "rb") as answer:
                self._text = answer.read()
        return self._text

    def release(self) -> None:
        """Let the canary end, once it has answered."""
        if self._held >= 0:
            with suppress(BrokenPipeError):  # it ended without an answer
                os.write(self._held, b"\n")  # a later canary has this end too, so closing it would tell nothing
            os.close(self._held)
            self._held = -1

    def wait(self) -> None:
        """Wait for the canary's end: a canary that ends with the loader would leave its folder."""
        if self._pid == 0:
            return
        self._read_answer()  # a long one does not fit into the pipe
        self.release()
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._pid = 0
        how = f" (it was killed by {signal.Signals(-status).name})" if status < 0 else ""
        self._ending = how + loader_output.crash(loader_output.take(self._output))[1]


def _end_with(loader: int) -> None:
    """Let the kernel kill this process when the loader ends. Source: PR_SET_PDEATHSIG(2const)."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != loader:  # ended before
        os._exit(1)


def _findings(make: Callable[[], Module]) -> tuple[Module | None, tuple[list[object], list[object]]]:
    """Return the module; and the wrong members, or the fields of the error."""
    try:
        module = make()
        wrong = wrong_members(module)
    except LoadError as error:
        return None, ([], [error.probe, error.reason, error.text, error.errno])
    return module, ([[*member, why] for member, why in wrong.items()], [])


def wrong_members(module: Module) -> dict[Member, str]:
    """Return the members at another offset than BTF's, each with the value read and the true value.

    A member that the module does not read counts as 0 here. Raises LoadError when the canary itself cannot run.
    """
    for program, tracepoint in PROGRAMS.items():
        module.attach(program, module.load_program(program, tracepoint), tracepoint)
    known, in_call, at_exit = _watch_child(module)
    if not in_call.helper_tgid or not at_exit.helper_tgid:
        raise LoadError("canary", "internal", "the canary's programs saw nothing of the child they were to watch")
    findings = [*_call_findings(in_call, known), *_exit_findings(at_exit)]
    return dict(reversed(findings))


def pid_namespace() -> tuple[int, int]:
    """Return device and inode of this process's PID namespace."""
    namespace = Path("/proc/self/ns/pid").stat()
    return namespace.st_dev, namespace.st_ino


def _watch_child(module: Module) -> tuple[Known, Any, Any]:
    """Let a child call getppid and exit; return the facts and the programs' observations.

    The child tells its own /proc/self/stat: where a former root hides processes (hidepid), others cannot read the file.
    """
    family = module.map_fd("family")
    (ready, start), (answer, tell) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(start)
        os.write(tell, Path("/proc/self/stat").read_bytes())
        os.close(tell)
        os.read(ready, 1)
        os.getppid()
        os._exit(EXIT_STATUS)
    os.close(ready)
    os.close(tell)
    with os.fdopen(answer, "rb") as told:
        known = _known(pid, told.read())
    for index, tgid in ((PARENT, known.parent), (CHILD, pid)):
        key, value = ctypes.c_uint32(index), ctypes.c_uint32(tgid)
        bpf.update(family, ctypes.addressof(key), ctypes.addressof(value))
    os.close(start)
    os.waitpid(pid, 0)
    return known, _observation(module, "in_call"), _observation(module, "at_exit")


def _observation(module: Module, name: str) -> Any:
    """Return the only value of a map of ``struct saw``, with the struct's members as attributes."""
    layout = module.record(name)
    key, value = ctypes.c_uint32(0), ctypes.create_string_buffer(layout.size)
    bpf.lookup(module.map_fd(name), ctypes.addressof(key), ctypes.addressof(value))
    widths = {"u32": 4, "u64": 8}
    return SimpleNamespace(
        **{
            each.name: value.raw[each.offset : each.offset + each.count].partition(b"\0")[0]
            if each.type == "char"
            else int.from_bytes(value.raw[each.offset : each.offset + widths[each.type]], sys.byteorder)
            for each in layout.fields
        }
    )


def _known(pid: int, stat: bytes) -> Known:
    after_comm = stat.rpartition(b")")[2].split()
    ticks = int(after_comm[19])  # starttime, the 22nd field: proc(5)
    offset = time_namespace.clock_offset("boottime")
    return Known(pid, os.getpid(), ticks, os.sysconf("SC_CLK_TCK"), offset, number_of("getppid"))


def _call_findings(saw: Any, known: Known) -> Iterator[tuple[Member, str]]:
    """Yield wrong members during the child's life; first the members on the way to others."""
    tgid, pid = saw.helper_tgid, saw.helper_pid
    yield from _differs("task_struct", "tgid", saw.tgid, tgid, "bpf_get_current_pid_tgid()")
    yield from _differs("task_struct", "pid", saw.pid, pid, "bpf_get_current_pid_tgid()")
    yield from _differs("task_struct", "comm", saw.comm, saw.helper_comm, "bpf_get_current_comm()")
    yield from _differs("task_struct", "group_leader", saw.leader_tgid, tgid, "the child is its own leader")
    if tgid == known.pid:  # else a PID namespace has other numbers
        yield from _differs("task_struct", "real_parent", saw.parent_tgid, known.parent, "getppid()")
    ticks = (saw.start_boottime + known.boottime_offset) * known.ticks_per_second // 10**9
    yield from _differs("task_struct", "start_boottime", ticks, known.start_ticks, "/proc/PID/stat (in clock ticks)")
    yield from _differs("task_struct", "thread_info", saw.ia32, 0, "the child makes 64-bit calls")
    yield from _differs("task_struct", "exit_code", saw.exit_code, 0, "the child still runs")
    yield from _differs("signal_struct", "live", saw.live, 1, "the child has one thread")
    yield from _differs("signal_struct", "nr_threads", saw.nr_threads, 1, "the child has one thread")
    yield from _differs("signal_struct", "flags", saw.flags & SIGNAL_GROUP_EXIT, 0, "the child is not exiting")
    for member in ("orig_ax", "syscallno"):
        yield from _differs("pt_regs", member, saw.syscall, known.syscall, "the child called getppid")


def _exit_findings(saw: Any) -> Iterator[tuple[Member, str]]:
    yield from _differs("signal_struct", "live", saw.live, 0, "the child's last thread has ended")
    yield from _differs("signal_struct", "nr_threads", saw.nr_threads, 1, "the child has one thread")
    status, told = EXIT_STATUS << 8, f"the child exited with status {EXIT_STATUS}"
    yield from _differs("task_struct", "exit_code", saw.exit_code, status, told)
    if saw.flags & SIGNAL_GROUP_EXIT:
        yield from _differs("signal_struct", "group_exit_code", saw.group_exit_code, status, told)


def _differs(struct: str, member: str, read: object, true: object, source: str) -> Iterator[tuple[Member, str]]:
    if read != true:
        text = (
            f"'struct {struct}' does not have its member '{member}' where the BTF says: reading it gave {read}, "
            f"but it is {true} ({source}); kernel and BTF do not belong together, so every count would be wrong"
        )
        yield (struct, member), text


def refuse(probe: str, uses: Callable[[Member], bool], wrong: Mapping[Member, str]) -> None:
    """Raise LoadError when a probe uses a wrong member."""
    texts = [wrong[member] for member in sorted(wrong) if uses(member)]
    if texts:
        raise LoadError(probe, "layout", "\n".join(texts))
