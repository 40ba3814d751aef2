# SPDX-License-Identifier: Apache-2.0
"""Memory: the proportional set size of all processes after the start, after a storm, after many scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.figures import Figure, one
from bench.setup import Setup, processes
from daemon import Daemon, proportional_bytes

MB: Final = 1e6
OPENS: Final = 1_000_003
SPAWNS: Final = 2_003
SCRAPES: Final = 50


def measure(setup: Setup) -> list[Figure]:
    """Return it by moment, and by process; the part of the rings besides."""
    with setup.daemon() as daemon:
        daemon.wait_until_ready()
        daemon.scrape()
        figures = [*_memory(daemon, "after start")]
        setup.run("fail_opens", "openat", "ENOENT", OPENS // (100 if setup.short else 1))
        setup.run("spawn", SPAWNS // (100 if setup.short else 1), setup.folder / "exits")
        figures += _memory(daemon, "after a storm")
        for _ in range(SCRAPES):
            daemon.get("/metrics")
        return [*figures, *_memory(daemon, f"after {SCRAPES} scrapes")]


def _memory(daemon: Daemon, moment: str) -> Iterator[Figure]:
    parts = {name: proportional_bytes(pid) for name, pid in processes(daemon).items()}
    yield one(f"memory {moment}", "MB", sum(parts.values()) / MB)
    for name, size in parts.items():
        yield one(f"  {name}", "MB", size / MB)
    yield one("  of which rings", "MB", _rings(daemon.exporter) / MB)


def _rings(pid: int) -> int:
    """Return the proportional set size of mapped BPF maps. Source: proc_pid_smaps(5)."""
    size, is_map = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_map = "bpf-map" in line
        elif is_map and words[0] == "Pss:":
            size += int(words[1]) << 10
    return size
