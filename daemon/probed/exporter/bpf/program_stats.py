# SPDX-License-Identifier: Apache-2.0
"""The BPF programs as the kernel knows them: how often they ran, for how long, and how often it left one out.

`probe` has one `ProgramInfo` for each of its programs and for the hooks that they are behind, and reads them at the
scrape; `itself` makes the families. What is reached by a tail call has no counts of its own in the kernel: a hook's are
those of all that is behind it. A raw tracepoint goes past a program that is already running on the CPU; where the
kernel can preempt a program in the middle, as Linux 7.2 can and 6.12 could not, only the count of this tells.

The exporter never holds a program: whoever does can attach and run it without any capability. The supervisor, which
holds them, opens their files in /proc/self/fdinfo and hands over these, as it does with its statm.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probed.exporter.exposition.family import Family
from probed.ipc.manifest import Place

ROOM = 4096
"""The kernel writes about 200 bytes."""


@dataclass(frozen=True, slots=True)
class ProgramStats:
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

    def __init__(self, fd: int, name: str, place: Place) -> None:
        """`place` says by which tracepoint it runs."""
        self._fd = fd
        self._name = name
        self._tracepoint = place.tracepoint
        self._id: int | None = None

    def read(self) -> ProgramStats | None:
        """Return the numbers of this moment; None once the supervisor has closed the program.

        Source: bpf_prog_show_fdinfo() in Linux kernel/bpf/syscall.c. The file tells of whatever has the descriptor's
        number now, so the id is compared.
        """
        try:
            text = os.pread(self._fd, ROOM, 0).decode()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = parse(text)
        if "prog_tag" not in fields or "run_cnt" not in fields:
            return None
        found = int(fields["prog_id"])
        self._id = found if self._id is None else self._id
        return self._program(fields) if found == self._id else None

    def _program(self, fields: Mapping[str, str]) -> ProgramStats:
        # Linux commit 9ed9e9ba2337 ("bpf: Count the number of times recursion was prevented") (in v5.12)
        misses = int(fields.get("recursion_misses", "0"))
        return ProgramStats(
            self._name, self._tracepoint, int(fields["prog_id"]), fields["prog_tag"], int(fields["run_cnt"]),
            int(fields["run_time_ns"]), misses,
        )  # fmt: skip


def read_all(infos: Iterable[ProgramInfo]) -> list[ProgramStats]:
    """Return what the kernel tells now of those programs that are still there. Raises OSError."""
    return [program for info in infos if (program := info.read())]


def hook_name(place: Place) -> str:
    """Return the name of the hook that a program is behind, as the kernel has it but for its length."""
    return f"probed_{place.tracepoint}"


def parse(text: str) -> dict[str, str]:
    """Return the fields of a file of /proc/PID/fdinfo."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def families(programs: Sequence[tuple[str, ProgramStats]], hooks: Iterable[ProgramStats]) -> list[Family]:
    """Give the families of all programs, each with the name of its probe, and of the hooks, which are no probe's.

    Runs and times are left out until the kernel has counted a run of any hook: 0 would say that they cost nothing.
    """
    once = list({hook.id: hook for hook in hooks}.values())
    counted = once if any(hook.runs for hook in once) else []
    return [
        _info([*programs, *(("", hook) for hook in once)]),
        _by_hook(
            "probed_program_runs_total",
            "Runs of the hook and all programs behind it, counted while kernel.bpf_stats_enabled is 1.",
            counted,
            [hook.runs for hook in counted],
        ),
        _by_hook(
            "probed_program_run_seconds_total",
            "Time that the hook and all programs behind it ran, likewise, in seconds.",
            counted,
            [hook.run_ns / 1e9 for hook in counted],
        ),
    ]


def _info(programs: Sequence[tuple[str, ProgramStats]]) -> Family:
    return Family(
        name="probed_program_info",
        type="gauge",
        help="BPF programs by the kernel's id and tag, always 1: the probes', and the hooks that run them (no probe).",
        label_names=("probe", "program", "id", "tag", "attach"),
        labels=[
            (probe, each.name, str(each.id), each.tag, f"raw_tracepoint:{each.tracepoint}") for probe, each in programs
        ],
        values=np.ones(len(programs), np.uint64),
    )


def _by_hook(name: str, text: str, hooks: Sequence[ProgramStats], values: Sequence[float]) -> Family:
    return Family(name, "counter", text, ("program",), [(hook.name,) for hook in hooks], np.array(values))
