# SPDX-License-Identifier: Apache-2.0
"""Daemons that read another number of possible CPUs, and the kernel memory of their maps on such machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from probed.linux.cpus import possible_cpus
from support.running_daemon import Daemon, Page

BYTES: Final = "probed_probe_map_memory_bytes"

PERCPU_TYPES: Final = ("5", "6", "10")
"""Per-CPU hash, array and LRU hash: enum bpf_map_type of Linux include/uapi/linux/bpf.h."""

_IN_OWN_MOUNTS = (
    "unshare", "--mount", "--propagation", "private", "sh", "-ec",
    'mount --bind "$0" /sys/devices/system/cpu/possible; exec "$@"',
)  # fmt: skip


def under(folder: Path, cpus: int) -> tuple[str, ...]:
    """Return the prefix of a command that reads so many possible CPUs; the kernel's own maps keep the true number."""
    possible = folder / f"possible-{cpus}"
    possible.write_text(f"0-{cpus - 1}\n")
    return *_IN_OWN_MOUNTS, str(possible)


def map_memory(page: Page, daemon: Daemon, cpus: int) -> float:
    """Return the bytes that the daemon's maps would take with so many possible CPUs."""
    return page.total(BYTES) + (cpus - possible_cpus()) * bytes_for_each_cpu(daemon)


def bytes_for_each_cpu(daemon: Daemon) -> int:
    """Return the bytes that the daemon's maps take for each possible CPU."""
    return sum(
        (int(found["value_size"]) + 7) // 8 * 8 * int(found["max_entries"])
        for found in _maps(daemon.supervisor)
        if found["map_type"] in PERCPU_TYPES
    )


def _maps(pid: int) -> Iterator[Mapping[str, str]]:
    """Yield what the kernel tells of each map that a process holds, each map once."""
    seen = set()
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        fields = dict(line.split(":\t") for line in path.read_text().splitlines() if ":\t" in line)
        if "map_id" in fields and fields["map_id"] not in seen:
            seen.add(fields["map_id"])
            yield fields
