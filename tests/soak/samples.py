# SPDX-License-Identifier: Apache-2.0
"""Samples of a soak: memory, descriptors and BPF objects of both processes.

`course` takes samples; `verdict` says what has grown, and `__main__` makes a table of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from probed.linux.bpf import BPF_F_NO_PREALLOC
from support.processes import descriptors, open_files, read

KIB: Final = 1 << 10
MEMORY_BOUND: Final = 4096 * KIB
"""By how many bytes a process may be larger at the end than it was before it had settled."""
NOTES_BOUND: Final = 1_000 * 72
"""Bytes of the notes that `process` keeps for a thousand more processes that live at once."""

DESCRIPTOR_BOUND: Final = 2
SETTLED: Final = 60.0
"""Seconds in which memory may grow; a third of the time in a short soak."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `memory` is private and anonymous, `proportional` the whole proportional set size, in bytes."""

    memory: int
    proportional: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment, `second` after the start, under one configuration.

    `kernel_bytes` are of BPF objects, without those that allocate entries on demand, which take `on_demand_bytes`.
    """

    second: int
    way: int
    supervisor: Process
    exporter: Process
    maps: int
    programs: int
    kernel_bytes: int
    on_demand_bytes: int


def take(second: int, way: int, supervisor: int, exporter: int) -> Sample:
    """Sample two processes by their ids."""
    objects = _bpf_objects(supervisor)
    kinds = [kind for kind, _ in objects]
    on_demand = sum(int(each["memlock"]) for each in objects.values() if _is_on_demand(each))
    kernel_bytes = sum(int(each["memlock"]) for each in objects.values()) - on_demand
    return Sample(
        second, way, _process(supervisor), _process(exporter),
        kinds.count("map_id"), kinds.count("prog_id"), kernel_bytes, on_demand,
    )  # fmt: skip


def _is_on_demand(fields: Mapping[str, str]) -> bool:
    return bool(int(fields.get("map_flags", "0"), 0) & BPF_F_NO_PREALLOC)


def _process(pid: int) -> Process:
    """Read the sizes. Source: proc_pid_smaps(5). `memory` leaves out Pss_File, which depends on other processes."""
    lines = (line.split() for line in read(pid, "smaps_rollup").splitlines()[1:])
    sizes = {words[0].rstrip(":"): int(words[1]) * KIB for words in lines}
    return Process(sizes["Pss_Anon"] + sizes["Pss_Shmem"], sizes["Pss"], len(open_files(pid)))


def _bpf_objects(pid: int) -> dict[tuple[str, str], Mapping[str, str]]:
    """Return the fdinfo of every map and program of a process, by kind and id. Source: proc_pid_fdinfo(5)."""
    objects: dict[tuple[str, str], Mapping[str, str]] = {}
    for fields in descriptors(pid):
        for kind in ("map_id", "prog_id"):
            if kind in fields and "memlock" in fields:
                objects[kind, fields[kind]] = fields
    return objects


def verdict(samples: Sequence[Sample], seconds: float) -> list[str]:
    """Return a sentence for each growth past its bound, for each configuration alone."""
    settled = min(SETTLED, seconds / 3)
    found = []
    for way in sorted({sample.way for sample in samples}):
        these = [sample for sample in samples if sample.way == way]
        early = [sample for sample in these if sample.second <= settled] or these[:1]
        late = [sample for sample in these if sample not in early]
        for name, bound, of in _WATCHED:
            allowed = max(map(of, early)) + bound
            worst = max(map(of, late), default=0)
            if worst > allowed:
                found.append(f"configuration {'AB'[way]}: {name} came to {worst:,}, {allowed:,} is allowed")
    return found


_WATCHED: Final = (
    ("the supervisor's memory", MEMORY_BOUND, lambda sample: sample.supervisor.memory),
    ("the exporter's memory", MEMORY_BOUND, lambda sample: sample.exporter.memory),
    ("the supervisor's descriptors", DESCRIPTOR_BOUND, lambda sample: sample.supervisor.descriptors),
    ("the exporter's descriptors", DESCRIPTOR_BOUND, lambda sample: sample.exporter.descriptors),
    ("the number of maps", 0, lambda sample: sample.maps),
    ("the number of programs", 0, lambda sample: sample.programs),
    ("the kernel's memory of maps and programs", 0, lambda sample: sample.kernel_bytes),
    ("the kernel's memory of maps on demand", NOTES_BOUND, lambda sample: sample.on_demand_bytes),
)
