# SPDX-License-Identifier: Apache-2.0
"""Time from the command to the first good scrape: by process, loader and page cache.

The scrape waits for READY=1, since polling the daemon would take CPU time from its start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from bench.figures import Figure, middle, one
from bench.setup import Setup, cpu_seconds, ended_children_seconds
from support.running_daemon import PATIENCE, SHIPPED, Daemon, environment, site

WARM: Final = 7
COLD: Final = 2
PAGE_CACHE: Final = "1"
"""Argument of drop_caches. Source: Linux Documentation/admin-guide/sysctl/vm.rst."""


def measure(setup: Setup) -> list[Figure]:
    """Return times until every probe is on the page, CPU times with the floor, and the loader's peak memory."""
    through_objects = setup.through_objects()
    warm, objects = [], []
    for _ in range(setup.rounds(WARM)):
        warm.append(start(setup) | _floor(setup))
        objects.append(start(setup, through_objects) | {"libbpf's calls": libbpf_seconds(setup)})
    figures = [middle(f"start, {name}", "ms", [each[name] * 1e3 for each in warm]) for name in warm[0]]
    figures += [
        middle(f"start with objects, {name}", "ms", [each[name] * 1e3 for each in objects]) for name in objects[0]
    ]
    figures += [
        one(f"peak memory of the loader{with_objects}", "MB", _peak(setup, configuration))
        for with_objects, configuration in (("", site()), (" with objects", through_objects))
    ]
    if setup.short:
        return figures
    cold = []
    for _ in range(COLD):
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text(PAGE_CACHE)
        cold.append(start(setup)["first good scrape"] * 1e3)
    return [*figures, middle("start, first good scrape, cold page cache", "ms", cold)]


def start(setup: Setup, configuration: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Start a daemon; return the seconds until the first good scrape, and the CPU time of each process."""
    path = setup.folder / "notify"
    begin = time.monotonic()
    with _notified(path) as news, Daemon(setup.folder, configuration or site(), NOTIFY_SOCKET=str(path)) as daemon:
        while b"READY=1" not in news.recv(4096):
            pass
        page = daemon.scrape()
        took = time.monotonic() - begin
        assert page.total("probed_probe_up") == len(SHIPPED), "a probe is not up"
        return {
            "first good scrape": took,
            "CPU of the supervisor": cpu_seconds(daemon.supervisor),
            "CPU of the loader": ended_children_seconds(daemon.supervisor),
            "CPU of the exporter": cpu_seconds(daemon.exporter),
        }


def _peak(setup: Setup, configuration: Mapping[str, Any]) -> float:
    """Return the loader's peak memory in MB."""
    path = setup.folder / "peak.yaml"
    path.write_text(yaml.safe_dump(dict(configuration)))
    environ = environment(PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-m", "bench.loading", str(path)]
    return int(subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE).stdout) / 1e6


@contextmanager
def _notified(path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does: sd_notify(3). Messages after READY=1 wait in the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
        news.bind(str(path))
        news.settimeout(PATIENCE)
        try:
            yield news
        finally:
            path.unlink()


def _floor(setup: Setup) -> dict[str, float]:
    """Return BCC's part: its import, and the compiles of the loader's source."""
    imported, compiled = _seconds(setup, "bench.compiling")
    return {"CPU of BCC's import": imported, "CPU of BCC's compiles of the probes": compiled}


def libbpf_seconds(setup: Setup) -> float:
    """Return libbpf's part of a start through objects: its calls, for the site of the last start."""
    (seconds,) = _seconds(setup, "bench.opening")
    return seconds


def _seconds(setup: Setup, module: str) -> list[float]:
    """Return what a module writes for the site of the last start."""
    environ = environment(PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-m", module, str(setup.folder / "probed.yaml")]
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return [float(each) for each in done.stdout.split()]
