# SPDX-License-Identifier: Apache-2.0
"""Proportional set size of all processes after the start, after a storm and after many scrapes.

The daemon shares mapped files, Python above all, with other processes. So there are also the memory without such
sharing, and the memory of two Pythons with the needed imports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from bench import least
from bench.figures import Figure, one
from bench.setup import Setup, processes
from support.processes import proportional_bytes
from support.running_daemon import Daemon

MB: Final = 1e6
OPENS: Final = 1_000_003
SPAWNS: Final = 2_003
SCRAPES: Final = 50


def measure(setup: Setup) -> list[Figure]:
    """Return the memory by moment and by process, the rings' part, and the floor."""
    with setup.daemon() as daemon:
        daemon.wait_until_ready()
        daemon.scrape()
        figures = [*memory(daemon, "after start")]
        rings = _rings(daemon.exporter)
        alone = _alone(processes(daemon).values()) + rings
        figures.append(one("memory after start, if nobody else had the same files mapped", "MB", alone / MB))
        setup.run("fail_opens", "openat", "ENOENT", OPENS // (100 if setup.short else 1))
        setup.run("spawn", SPAWNS // (100 if setup.short else 1), setup.folder / "exits")
        figures += memory(daemon, "after a storm")
        for _ in range(SCRAPES):
            daemon.get("/metrics")
        figures += memory(daemon, f"after {SCRAPES} scrapes")
    with least.processes() as two:
        floor = sum(map(proportional_bytes, two.pids)) + rings
        return [*figures, one("memory of two Pythons with the imports needed, and the rings", "MB", floor / MB)]


def memory(daemon: Daemon, moment: str) -> Iterator[Figure]:
    """Yield the proportional set size of all processes, of each, and of the rings."""
    parts = {name: proportional_bytes(pid) for name, pid in processes(daemon).items()}
    yield one(f"memory {moment}", "MB", sum(parts.values()) / MB)
    for name, size in parts.items():
        yield one(f"  {name}", "MB", size / MB)
    yield one("  of which rings", "MB", _rings(daemon.exporter) / MB)


def _alone(pids: Iterable[int]) -> int:
    """Return the memory of some processes together without rings; shared memory counts once."""
    private, shared = 0, dict[str, int]()
    for pid in pids:
        own = Counter[str]()
        for path, sizes in _mappings(pid):
            private += sizes["Anonymous"]
            if "bpf-map" not in path:
                own[path] += sizes["Rss"] - sizes["Anonymous"]
        shared |= {path: max(size, shared.get(path, 0)) for path, size in own.items()}
    return private + sum(shared.values())


def _rings(pid: int) -> int:
    """Return the proportional set size of mapped BPF maps."""
    return sum(sizes["Pss"] for path, sizes in _mappings(pid) if "bpf-map" in path)


def _mappings(pid: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the path of every mapping, and its sizes in bytes by name. Source: proc_pid_smaps(5)."""
    path, sizes = "", dict[str, int]()
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split(maxsplit=5)
        if words[0].endswith(":"):
            if words[-1] == "kB":
                sizes[words[0][:-1]] = int(words[1]) << 10
            continue
        if sizes:
            yield path, sizes
        path, sizes = words[5] if len(words) > 5 else "", {}
    yield path, sizes
