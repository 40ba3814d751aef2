# SPDX-License-Identifier: Apache-2.0
"""Facts on the machine that a load needs: types, attach points, CPUs, architecture, limit of threads."""

from __future__ import annotations

import fnmatch
import mmap
import os
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

from probed.config.declaration.probe import Probe
from probed.elf.files import find_file
from probed.elf.functions import read_functions
from probed.elf.usdt import UsdtPlace, read_usdt_probes
from probed.ipc.attach_points import (
    OF_FILES,
    RETURNS,
    WITH_REGISTERS,
    AttachPoint,
    has_target,
    is_offset,
    is_pattern,
)
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.common import preemption
from probed.loader.common.register_point import INSTRUCTION, REGISTERS, RETURNED, RegisterPoint
from probed.loader.common.usdt_arguments import usdt_forms

LEAST_PROCESSES, MOST_PROCESSES = 1 << 14, 1 << 19
"""Bounds of the macro PROCESSES, which is the kernel's limit of threads between them.

In a hash a possible entry takes 16 to 32 bytes, and one that is there 96 more; before Linux 6.1 each takes some 80.
"""

ALLOCATOR = "bpf_mem_alloc"
"""The struct of the kernel's memory for programs, by which any program can make entries of a hash: since Linux 6.1."""

RING_PAGE = 4096
"""Bytes of a page in the header's RING_PAGES."""


def ring_bytes(probe: Probe) -> int:
    """Return the size of a probe's ring, at least a page (4 to 64 KiB); 0 for none."""
    return max(probe.ring.bytes, mmap.PAGESIZE) if probe.ring is not None else 0


class Host:
    """Facts on one machine; the types are read when the first caller needs them."""

    def __init__(self, btf_path: Path, cpus: int, machine: str, threads: int) -> None:
        """`btf_path` is the file with the kernel's types, which an object alone does not need parsed here.

        `may_preempt` says whether the kernel may preempt programs of raw tracepoints, `uses_kprobes` whether programs
        run in kprobes where they can, `has_exchange` whether the kernel has BPF_XCHG, for BCC, `allocates_on_demand`
        whether any program can allocate entries of a hash.
        """
        self.btf_path = btf_path
        self.may_preempt = True
        self.uses_kprobes = False
        self.allocates_on_demand = False
        self.has_exchange = False
        self.cpus = cpus
        self.machine = machine
        self._threads = threads
        self._user_functions: dict[str, Mapping[str, tuple[int, ...]]] = {}
        self._usdt_probes: dict[str, Mapping[str, tuple[UsdtPlace, ...]]] = {}
        self._register_points: dict[AttachPoint, RegisterPoint] = {}

    @cached_property
    def btf(self) -> Btf:
        """The kernel's types. Raises HostError."""
        return Btf.read(self.btf_path)

    @property
    def has_read_types(self) -> bool:
        """Whether this process has parsed the kernel's types."""
        return "btf" in self.__dict__

    @cached_property
    def raw_tracepoints(self) -> frozenset[str]:
        """The names of the raw tracepoints. Raises HostError."""
        return self.btf.raw_tracepoints()

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of the kernel's functions, without those of modules. Raises HostError."""
        return self.btf.functions()

    def targets(self, point: AttachPoint) -> Collection[str]:
        """Return the names among which an attach point has to be.

        Raises HostError, and for a file, a machine or arguments of a USDT probe that cannot be used OSError or
        ValueError.
        """
        if point.kind in WITH_REGISTERS and self.machine != "x86_64":
            raise ValueError(
                f"a program at a {point.kind} takes the registers of x86-64, and this machine is {self.machine}"
            )
        if point.kind == "usdt":
            probes = self._usdt_probes_of(find_file(point.file).path)
            usdt_forms(point.function, probes.get(point.function, ()), point.arguments)
            return probes
        if point.kind in OF_FILES:
            return self._functions_of(find_file(point.file).path)
        if point.kind == "iterator":
            return self.btf.iterators()
        return self.raw_tracepoints if point.kind == "raw_tracepoint" else self.functions

    def find(self, point: AttachPoint) -> AttachPoint | None:
        """Return an attach point, in a file with real path and identity; None for a missing one. Raises HostError."""
        try:
            if not has_target(point, self.targets(point)):
                return None
            if point.kind not in OF_FILES:
                return point
            file = find_file(point.file)
        except (OSError, ValueError):
            return None  # `host_check` tells the cause
        return point.in_file(file.path, file.identity)

    def _functions_of(self, path: str) -> Mapping[str, tuple[int, ...]]:
        if path not in self._user_functions:
            self._user_functions[path] = read_functions(path)
        return self._user_functions[path]

    def _usdt_probes_of(self, path: str) -> Mapping[str, tuple[UsdtPlace, ...]]:
        if path not in self._usdt_probes:
            self._usdt_probes[path] = read_usdt_probes(path)
        return self._usdt_probes[path]

    @property
    def has_other_types(self) -> bool:
        """Whether the command line names other types than the kernel's own."""
        return self.btf_path != VMLINUX

    @cached_property
    def relocation_btf(self) -> str | None:
        """A path of other types for libbpf, else None: an open fd, since the loader gives up its rights."""
        return f"/proc/self/fd/{os.open(self.btf_path, os.O_RDONLY)}" if self.has_other_types else None

    def read_types(self) -> None:
        """Read the types while the loader has the rights to. Raises HostError."""
        _ = self.raw_tracepoints, self.relocation_btf

    @property
    def processes(self) -> int:
        """The size of maps with an entry for each living process."""
        return min(max(self._threads, LEAST_PROCESSES), MOST_PROCESSES)

    def kprobe(self, attach_point: str) -> RegisterPoint | None:
        """Return the kprobe in which the programs of an attach point run, None for the attach point itself."""
        point = AttachPoint.parse(attach_point)
        if point.kind in WITH_REGISTERS:
            return self._register_point(point)
        if point.kind == "raw_tracepoint" and self.uses_kprobes:
            return preemption.kprobe_point(self.btf, point.target)
        return None

    def _register_point(self, point: AttachPoint) -> RegisterPoint:
        if point not in self._register_points:
            returns = point.kind in RETURNS
            registers = (RETURNED,) if returns else REGISTERS
            if point.kind == "perf_event":
                kprobe = RegisterPoint((), (INSTRUCTION,), event=point.target)
            elif point.kind == "usdt":
                kprobe = self._usdt_point(point)
            elif point.kind in OF_FILES:
                offsets = self._offsets(point)
                kprobe = RegisterPoint((), registers, returns=returns, file=point.file, offsets=offsets)
            else:
                kprobe = RegisterPoint(self._matching(point), registers, returns=returns)
            self._register_points[point] = kprobe
        return self._register_points[point]

    def _usdt_point(self, point: AttachPoint) -> RegisterPoint:
        places = self._usdt_probes_of(point.file)[point.function]
        forms = usdt_forms(point.function, places, point.arguments)
        return RegisterPoint((), (), file=point.file, offsets=tuple(place.offset for place in places), usdt=forms)

    def _matching(self, point: AttachPoint) -> tuple[str, ...]:
        return tuple(sorted(fnmatch.filter(self.functions, point.target))) if is_pattern(point) else (point.target,)

    def _offsets(self, point: AttachPoint) -> tuple[int, ...]:
        return (int(point.function),) if is_offset(point.function) else self._functions_of(point.file)[point.function]
