# SPDX-License-Identifier: Apache-2.0
"""Facts on the machine that a load needs: types, raw tracepoints, CPUs, architecture, limit of threads."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.common import preemption

LEAST_PROCESSES, MOST_PROCESSES = 1 << 14, 1 << 19
"""Bounds of the macro PROCESSES, which is the kernel's limit of threads between them: some 80 bytes each in a hash."""

RING_PAGE = 4096
"""Bytes of a page in the header's RING_PAGES."""


class Host:
    """Facts on one machine; the types are read when the first caller needs them."""

    def __init__(self, btf_path: Path, cpus: int, machine: str, threads: int) -> None:
        """`btf_path` is the file with the kernel's types, which an object alone does not need parsed here.

        `uses_kprobes` says whether programs run in kprobes where they can, `has_exchange` whether the kernel has
        BPF_XCHG, for BCC.
        """
        self.btf_path = btf_path
        self.uses_kprobes = False
        self.has_exchange = False
        self.cpus = cpus
        self.machine = machine
        self._threads = threads

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

    def kprobe(self, tracepoint: str) -> preemption.KprobePoint | None:
        """Return the kprobe in which the programs of a tracepoint run, None for the raw tracepoint."""
        return preemption.kprobe_point(self.btf, tracepoint) if self.uses_kprobes else None
