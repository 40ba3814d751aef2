# SPDX-License-Identifier: Apache-2.0
"""What /proc tells of another process, which may close a descriptor or end while it is read: nothing then.

Names and contents: proc_pid_status(5), proc_pid_maps(5), proc_pid_smaps(5), proc_pid_fdinfo(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_OBJECTS: Final = ("map_id", "prog_id")


def read(pid: int, name: str) -> str:
    """Read a file of /proc/PID, empty once the process is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return _fields(read(pid, "status"))


def command_line(pid: int) -> str:
    """Return a process's command line, its words with a space after each."""
    return read(pid, "cmdline").replace("\0", " ")


def children(pid: int) -> list[int]:
    """Return the processes that a process's first thread has started and that are still there."""
    return list(map(int, read(pid, f"task/{pid}/children").split()))


def mapped_files(pid: int) -> set[str]:
    """Return the mapped files of a process."""
    lines = (line.split(maxsplit=5) for line in read(pid, "maps").splitlines())
    return {parts[5] for parts in lines if len(parts) == 6}


def proportional_bytes(pid: int) -> int:
    """Return a process's proportional set size: shared memory is divided among the sharers."""
    lines = (line.split() for line in read(pid, "smaps_rollup").splitlines())
    return next(int(parts[1]) << 10 for parts in lines if parts[0] == "Pss:")


def descriptors(pid: int) -> Iterator[dict[str, str]]:
    """Yield the fields of each open descriptor's file in /proc/PID/fdinfo."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for file in Path(f"/proc/{pid}/fdinfo").iterdir():
            yield _fields(read(pid, f"fdinfo/{file.name}"))


def open_files(pid: int) -> dict[int, str]:
    """Return what each open descriptor refers to, as the links of /proc/PID/fd have it."""
    found = {}
    with suppress(FileNotFoundError, ProcessLookupError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found[int(link.name)] = str(link.readlink())
    return found


def bpf_ids(pid: int) -> set[tuple[str, int]]:
    """Return BPF objects of a process's descriptors: ("prog_id" or "map_id", id)."""
    return {(kind, int(fields[kind])) for fields in descriptors(pid) for kind in _OBJECTS if kind in fields}


def bpf_program_ids(pid: int) -> set[int]:
    """Return the ids of BPF programs among a process's descriptors."""
    return {number for kind, number in bpf_ids(pid) if kind == "prog_id"}


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
