# SPDX-License-Identifier: Apache-2.0
"""The BPF programs as the kernel knows them: how often they ran, for how long, and how often it left one out.

`probe` has one `ProgramInfo` for each of its programs and for the hooks that they are behind, and reads them at the
scrape; `self_metrics.programs` has the metrics. What is reached by a tail call has no counts of its own in the kernel:
a hook's are those of all that is behind it. A raw tracepoint goes past a program that is already running on the CPU;
where the kernel can preempt a program in the middle, as Linux 7.2 can and 6.12 could not, only the count of this tells.

The exporter never holds a program: whoever does can attach and run it without any capability. The supervisor, which
holds them, opens their files in /proc/self/fdinfo and hands over these, as it does with its statm.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from probed.ipc.manifest import ChainSlot
from probed.linux import fdinfo

ROOM = 4096
"""The kernel writes about 200 bytes."""


@dataclass(frozen=True, slots=True)
class Program:
    """What the kernel tells of one program.

    `runs` and `run_ns` (nanoseconds) rise only while kernel.bpf_stats_enabled is 1, `misses` when the kernel goes past
    it. A program behind a hook has none of these: the hook has them.
    """

    name: str
    tracepoint: str
    id: int
    tag: str
    runs: int
    run_ns: int
    misses: int


class ProgramInfo:
    """One program's file of /proc/PID/fdinfo, open."""

    def __init__(self, fd: int, name: str, place: ChainSlot) -> None:
        """`place` says by which tracepoint it runs."""
        self._fd = fd
        self._name = name
        self._tracepoint = place.tracepoint
        self._id: int | None = None

    def read(self) -> Program | None:
        """Return the numbers of this moment; None once the supervisor has closed the program.

        Source: bpf_prog_show_fdinfo() in Linux kernel/bpf/syscall.c. The file tells of whatever has the descriptor's
        number now, so the id is compared.
        """
        try:
            text = os.pread(self._fd, ROOM, 0).decode()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = fdinfo.parse(text)
        if "prog_tag" not in fields or "run_cnt" not in fields:
            return None
        found = int(fields["prog_id"])
        self._id = found if self._id is None else self._id
        return self._program(fields) if found == self._id else None

    def _program(self, fields: Mapping[str, str]) -> Program:
        # Linux commit 9ed9e9ba2337 ("bpf: Count the number of times recursion was prevented") (in v5.12)
        misses = int(fields.get("recursion_misses", "0"))
        return Program(
            self._name, self._tracepoint, int(fields["prog_id"]), fields["prog_tag"], int(fields["run_cnt"]),
            int(fields["run_time_ns"]), misses,
        )  # fmt: skip


def told(infos: Iterable[ProgramInfo]) -> list[Program]:
    """Return what the kernel tells now of those programs that are still there. Raises OSError."""
    return [program for info in infos if (program := info.read())]
