# SPDX-License-Identifier: Apache-2.0
"""The kernel's statistics of BPF programs: how often and how long each ran, and how many runs the kernel skipped.

`probe` has one `ProgramInfo` for each of its programs and for the hooks that they are behind, and reads them at the
scrape; `self_metrics.programs` has the metrics. What is reached by a tail call has no counts of its own in the kernel:
a hook's are those of all that is behind it. A raw tracepoint goes past a program that is already running on the CPU;
where the kernel can preempt a program in the middle, as Linux 7.2 can and 6.12 could not, only the count of this tells.

The exporter never holds a program: a process with the descriptor can attach and run the program without any
capability. The supervisor opens the files of /proc/self/fdinfo and hands over the open files, like its statm.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from probed.frozen import frozen
from probed.linux import fdinfo

ROOM = 4096
"""The kernel writes about 200 bytes."""


@frozen
class ProgramStats:
    """The kernel's statistics of one program.

    `runs` and `run_ns` (nanoseconds) rise only while kernel.bpf_stats_enabled is 1, `misses` with each skipped run. All
    three stay 0 for a program behind a hook: the hook has the counts.
    """

    name: str
    attach_point: str
    id: int
    tag: str
    runs: int
    run_ns: int
    misses: int


class ProgramInfo:
    """The open file of /proc/PID/fdinfo of one program."""

    def __init__(self, fd: int, name: str, attach_point: str) -> None:
        self._fd = fd
        self._name = name
        self._attach_point = attach_point
        self._id: int | None = None

    def read(self) -> ProgramStats | None:
        """Return the statistics of this moment; None once the supervisor has closed the program.

        The file shows the program that has the descriptor's number now, so the id is compared. Source:
        bpf_prog_show_fdinfo() in Linux kernel/bpf/syscall.c.
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

    def _program(self, fields: Mapping[str, str]) -> ProgramStats:
        # Linux commit 9ed9e9ba2337 ("bpf: Count the number of times recursion was prevented") (in v5.12)
        misses = int(fields.get("recursion_misses", "0"))
        return ProgramStats(
            self._name, self._attach_point, int(fields["prog_id"]), fields["prog_tag"], int(fields["run_cnt"]),
            int(fields["run_time_ns"]), misses,
        )  # fmt: skip


def read_all(infos: Iterable[ProgramInfo]) -> list[ProgramStats]:
    """Return the present statistics of the programs that still exist. Raises OSError."""
    return [program for info in infos if (program := info.read())]
