# SPDX-License-Identifier: Apache-2.0
"""What the probes that are off by default cost: each run of their programs, and all of them at once.

The kernel measures the runs (kernel.bpf_stats_enabled), of a daemon with one probe, during a workload for that probe.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench.figures import Figure, middle, one
from bench.idle import SECONDS, watch
from bench.memory import MB, memory
from bench.setup import Setup, cpu_seconds, processes
from support.bpf_objects import run_statistics
from support.loop_device import loop_device
from support.running_daemon import LIBRARY, Daemon, Page, rise

EVENTS: Final = 20_011
SCRAPES: Final = 15

Workload = Callable[[Setup, int], object]
"""Makes about so many events."""


def measure(setup: Setup) -> list[Figure]:
    """Return the time of a run at each hook, and memory, idle time and scrape with all probes at once."""
    events = EVENTS // (100 if setup.short else 1)
    figures: list[Figure] = []
    with run_statistics() as switch:
        switch.write_text("1")
        for probe in LIBRARY:
            figures += _runs(setup, probe, events)
    with setup.daemon(dict.fromkeys(["cgroups", *LIBRARY])) as daemon:
        daemon.wait_until_ready()
        figures += memory(daemon, "with all of the library, after start")
        for workload in WORKLOADS.values():
            workload(setup, events)
        figures += _scrapes(setup, daemon)
        figures += memory(daemon, "with all of the library, after the workloads")
        size = daemon.scrape().total("probed_probe_map_memory_bytes")
        figures.append(one("kernel memory of all maps of the library", "MB", size / MB))
        pids = processes(daemon).values()
        figures += watch("idle with all of the library, no scrape", pids, setup.seconds(SECONDS))
    return figures


def _runs(setup: Setup, probe: str, events: int) -> Iterator[Figure]:
    """Yield the time of a run at each hook of one probe; none where the kernel takes no such programs."""
    with setup.daemon({"cgroups": None, probe: None}) as daemon:
        daemon.wait_until_ready()
        before = daemon.scrape()
        if before.total("probed_probe_up") < 2:
            return
        WORKLOADS[probe](setup, events)
        after = daemon.scrape()
    for hook in _hooks(after):
        ran = rise(before, after, "probed_program_runs_total", program=hook)
        if ran:
            took = rise(before, after, "probed_program_run_seconds_total", program=hook)
            yield one(f"{probe}, a run at {hook.removeprefix('probed_')}", "ns", took / ran * 1e9)
            yield one("  runs", "", ran)


def _hooks(page: Page) -> list[str]:
    runs = page.by("program", "probed_program_runs_total")
    return sorted(hook for hook in runs if not hook.startswith("probed_cgroup_"))


def _scrapes(setup: Setup, daemon: Daemon) -> Iterator[Figure]:
    times, spent = [], []
    for _ in range(setup.rounds(SCRAPES)):
        before, start = cpu_seconds(daemon.exporter), time.perf_counter()
        daemon.get("/metrics")
        times.append((time.perf_counter() - start) * 1e3)
        spent.append((cpu_seconds(daemon.exporter) - before) * 1e3)
    what = f"scrape with all of the library, {len(daemon.scrape()):,} series"
    yield middle(what, "ms", times)
    yield middle(f"{what}, CPU", "ms", spent)


def _transfer(setup: Setup, events: int) -> None:
    with loop_device(setup.folder, 1 << 20) as name:
        for _ in range(max(1, events // 256)):
            command = ["dd", "if=/dev/zero", f"of=/dev/{name}", "bs=4096", "count=256", "oflag=direct", "conv=notrunc"]
            subprocess.run(command, check=True, capture_output=True)


def _datagrams(_setup: Setup, events: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        for _ in range(events):
            receiver.sendto(b"x", receiver.getsockname())


DROPS: Final = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
    free.bind(("::1", 0))
    closed = free.getsockname()
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
    for _ in range(int(sys.argv[1])):
        sender.sendto(b"x", closed)
"""


def _drops(_setup: Setup, events: int) -> None:
    """Send datagrams to a closed port, in a network of their own."""
    script = 'ip link set lo up; exec "$0" -c "$1" "$2"'
    subprocess.run(["unshare", "--net", "sh", "-c", script, sys.executable, DROPS, str(events)], check=True)


def _connections(_setup: Setup, events: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(events // 10):
            with socket.create_connection(server.getsockname()), server.accept()[0]:
                pass


def _turns(_setup: Setup, events: int) -> None:
    """Let two processes wake each other."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = os.fork()
        if child == 0:
            for _ in range(events):
                theirs.send(theirs.recv(1))
            os._exit(0)
        for _ in range(events):
            ours.send(b"x")
            ours.recv(1)
        os.waitpid(child, 0)


def _lookups(setup: Setup, _: int) -> None:
    for _ in range(setup.rounds(20)):
        setup.run("page_lookups", 500, 500, 500, 500)


WORKLOADS: Final[dict[str, Workload]] = {
    "block_io": _transfer,
    "bpf_calls": lambda setup, events: setup.run("bpf_calls", events // 2, events // 2),
    "cpu_throttling": lambda setup, events: setup.run("naps", events // 10),
    "file_system": lambda setup, events: setup.run("file_calls", setup.folder, events // 10, events, events),
    "hello": lambda setup, events: setup.run("spawn", events // 10, setup.folder / "exits"),
    "oom_kills": lambda setup, events: setup.run("signals", events, 1, 1),
    "packet_drops": _drops,
    "packet_drop_stacks": _drops,
    "page_cache": _lookups,
    "run_queue": _turns,
    "signals": lambda setup, events: setup.run("signals", events, 1, 1),
    "softirqs": _datagrams,
    "tcp": _connections,
}
