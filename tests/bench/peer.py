# SPDX-License-Identifier: Apache-2.0
"""Another exporter, measured in turn with probed in the same run.

`make bench ARGS='--peer FILE'` names a YAML file with the peer's name, the URL of its metrics, and one command for each
configuration; `all` is compared with all shipped probes:

    name: ebpf_exporter
    url: http://127.0.0.1:9435/metrics
    configurations:
      syscalls: [ebpf_exporter, --config.dir=examples, --config.names=syscalls]
      all: [ebpf_exporter, --config.dir=mine, --config.names=syscalls,open_failures,exec]
"""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.error import URLError

import yaml

from bench import least, starting
from bench.figures import Figure, middle
from bench.setup import Setup, cpu_seconds, processes
from support.processes import descriptors, proportional_bytes
from support.running_daemon import PATIENCE, Daemon

ROUNDS: Final = 8
SCRAPES: Final = 15
IDLE_SECONDS: Final = 60.0
"""Two of probed's heartbeats."""

OPENS, NAMES = 5_003, 2_503
"""Failing opens, and the names that fail, for a large page."""

BUDGET: Final = {"budget": 2 * NAMES}
POLL_SECONDS: Final = 0.01
MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Peer:
    """Another exporter: the URL of its metrics, and a command by configuration."""

    name: str
    url: str
    configurations: Mapping[str, Sequence[str]]

    @contextmanager
    def running(self, configuration: str) -> Iterator[tuple[int, float]]:
        """Run a configuration; yield the process id, and the seconds from the command to the first page."""
        begin = time.monotonic()
        with subprocess.Popen(self.configurations[configuration], stdout=subprocess.DEVNULL) as process:
            try:
                self._wait(process)
                yield process.pid, time.monotonic() - begin
            finally:
                process.terminate()

    def scrape(self, encoding: str = "identity") -> bytes:
        """Return a page. Raises URLError, OSError."""
        request = urllib.request.Request(self.url, headers={"Accept-Encoding": encoding})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            page: bytes = answer.read()
        return page

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            try:
                self.scrape()
            except (URLError, OSError):
                time.sleep(POLL_SECONDS)
            else:
                return
        raise ChildProcessError(f"{self.name}: no page at {self.url}; exit status {process.poll()}")


def read(path: Path) -> Peer:
    """Read a peer's file. Raises OSError, TypeError for missing or unknown keys."""
    return Peer(**yaml.safe_load(path.read_text()))


def measure(setup: Setup) -> list[Figure]:
    """Return start, memory, scrape and idle cost of probed by objects, of the peer and of the floor, in turn."""
    peer = setup.peer
    assert peer is not None
    sides: dict[str, Callable[[Setup], Values]] = {
        "probed": _ours, peer.name: partial(_theirs, peer=peer), "two Pythons": _floor,
    }  # fmt: skip
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(setup.rounds(ROUNDS)):
        for name, side in sides.items():
            for (about, unit), value in side(setup).items():
                found.setdefault((f"{about}, {name}", unit), []).append(value)
    return [middle(about, unit, values) for (about, unit), values in sorted(found.items())]


Values = dict[tuple[str, str], float]


def _ours(setup: Setup) -> Values:
    configuration = setup.through_objects()
    start = starting.start(setup, configuration)["first good scrape"]
    loads = starting.libbpf_seconds(setup)
    with Daemon(setup.folder, configuration) as daemon:
        daemon.wait_until_ready()
        pids = processes(daemon).values()
        found = {("start to first good scrape", "ms"): start * 1e3, ("libbpf's calls", "ms"): loads * 1e3}
        found |= _running(setup, pids, lambda: daemon.get("/metrics")[1])
    with Daemon(setup.folder, configuration | {"series": BUDGET}) as daemon:
        daemon.wait_until_ready()
        return found | _scraping(setup, lambda encoding: daemon.get("/metrics", **{"Accept-Encoding": encoding})[1])


def _theirs(setup: Setup, peer: Peer) -> Values:
    with peer.running("all") as (pid, start):
        found = {("start to first good scrape", "ms"): start * 1e3} | _running(setup, [pid], peer.scrape)
        return found | _scraping(setup, peer.scrape)


def _floor(setup: Setup) -> Values:
    begin = time.monotonic()
    with least.processes() as two:
        two.scrape()
        found = {("start to first good scrape", "ms"): (time.monotonic() - begin) * 1e3}
        return found | _running(setup, two.pids, two.scrape)


def _running(setup: Setup, pids: Collection[int], scrape: Callable[[], object]) -> Values:
    scrape()
    found = {
        ("memory, PSS", "MB"): sum(map(proportional_bytes, pids)) / MB,
        ("memory, RSS of all processes", "MB"): sum(map(_resident_bytes, pids)) / MB,
        ("kernel memory of maps and rings", "MB"): sum(_map_bytes(pids).values()) / MB,
    }
    found["idle", "% of a core"] = _idle_percentage(setup, pids, 1)
    found["idle, a scrape every 15 s", "% of a core"] = _idle_percentage(setup, pids, 4, scrape)
    return found


def _scraping(setup: Setup, scrape: Callable[[str], bytes]) -> Values:
    """Return the time of a scrape by encoding, after failing opens under many names."""
    found = {}
    setup.run("takes_turns", OPENS, NAMES, "turn")
    series = sum(not line.startswith(b"#") for line in scrape("identity").splitlines())
    for encoding in ("identity", "gzip"):
        begin = time.perf_counter()
        for _ in range(SCRAPES):
            scrape(encoding)
        took = time.perf_counter() - begin
        found[f"scrape, for 2,500 series, {encoding}", "ms"] = took / SCRAPES * 1e3 * 2_500 / series
    return found


def _idle_percentage(
    setup: Setup, pids: Collection[int], parts: int, scrape: Callable[[], object] = lambda: None
) -> float:
    """Return the CPU time of an idle time in parts, each with a scrape."""
    spent, idle = sum(map(cpu_seconds, pids)), setup.seconds(IDLE_SECONDS)
    for _ in range(parts):
        scrape()
        time.sleep(idle / parts)
    return 100 * (sum(map(cpu_seconds, pids)) - spent) / idle


def _map_bytes(pids: Iterable[int]) -> dict[str, int]:
    """Return the kernel memory of each BPF map that the processes have open. Source: proc_pid_fdinfo(5)."""
    files = (fields for pid in pids for fields in descriptors(pid))
    return {each["map_id"]: int(each["memlock"]) for each in files if "map_id" in each}


def _resident_bytes(pid: int) -> int:
    """Return VmRSS. Source: proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))
