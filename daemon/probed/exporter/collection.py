# SPDX-License-Identifier: Apache-2.0
"""All probes that are up, and the state of the daemon: what a scrape is made of.

The drain loop (`loop`) and the HTTP threads call it; one lock keeps them apart.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace

from probed.exporter import itself
from probed.exporter.family import Family
from probed.exporter.probe import RunningProbe
from probed.manifest import LoadedProbe, Status


class Collection:
    """The running probes by name, and the last `Status` from the supervisor (None until it has one)."""

    def __init__(self, build: itself.Build, process: itself.Process, cpus: int, supervisor_statm: int) -> None:
        self._build = build
        self._process = process
        self._cpus = cpus
        self._supervisor_statm = supervisor_statm
        self._lock = threading.Lock()
        self._probes: dict[str, RunningProbe] = {}
        self._drains = 0
        self.status: Status | None = None

    def add(self, loaded: LoadedProbe, fds: Mapping[str, int]) -> int | None:
        """Run a probe, instead of an older one of its name; return its ring's fd. Raises OSError."""
        probe = RunningProbe(loaded, fds, self._cpus)
        self.remove(loaded.name)
        with self._lock:
            self._probes[loaded.name] = probe
        return probe.ring_fd

    def remove(self, name: str) -> None:
        """Drop a probe and its series; nothing happens when there is none."""
        with self._lock:
            probe = self._probes.pop(name, None)
            if probe is not None:
                probe.close()

    def drain(self) -> None:
        """Count what waits in every ring."""
        with self._lock:
            self._drains += 1
            for probe in self._probes.values():
                probe.drain()

    def scrape(self) -> list[Family]:
        """Return every family of this moment, the probes' first. Raises OSError when a map cannot be read."""
        families: list[Family] = []
        numbers: list[itself.ProbeNumbers] = []
        with self._lock:
            self._drains += 1
            for probe in self._probes.values():
                of_probe, sums = probe.collect()
                families += of_probe
                numbers.append(sums)
            drains = self._drains
        status = self.status
        build = replace(self._build, bcc=status.bcc_version if status else "")
        families += itself.families(build, status, numbers, drains, self._supervisor_memory())
        return families + self._process.families()

    def totals(self) -> list[itself.ProbeNumbers]:
        """Return the sums of events, for the last log line."""
        with self._lock:
            return [probe.collect()[1] for probe in self._probes.values()]

    def _supervisor_memory(self) -> int:
        pages = int(os.pread(self._supervisor_statm, 64, 0).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")
