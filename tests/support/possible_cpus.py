# SPDX-License-Identifier: Apache-2.0
"""Daemons that read another number of possible CPUs, and the kernel memory of their maps on such machines."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from probed.linux.cpus import possible_cpus
from support.processes import descriptors
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
    maps = {fields["map_id"]: fields for fields in descriptors(daemon.supervisor) if "map_id" in fields}
    return sum(
        (int(found["value_size"]) + 7) // 8 * 8 * int(found["max_entries"])
        for found in maps.values()
        if found["map_type"] in PERCPU_TYPES
    )
