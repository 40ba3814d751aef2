# SPDX-License-Identifier: Apache-2.0
"""All probes that are up, and the state of the daemon: what a scrape is made of.

The drain loop (`loop`) and the HTTP threads call it; one lock keeps them apart.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from probed.exporter import itself
from probed.exporter.family import Family
from probed.exporter.probe import RunningProbe
from probed.exporter.seldom import Seldom
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
        self._numbers: dict[str, itself.ProbeNumbers] = {}
        self._failures: Counter[str] = Counter()
        self._seldom = Seldom(logging.getLogger("exporter"))
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
            self._numbers.pop(name, None)
            if probe is not None:
                probe.close()

    def drain(self) -> None:
        """Count what waits in every ring."""
        with self._lock:
            self._drains += 1
            for probe in self._probes.values():
                probe.drain()

    def scrape(self) -> list[Family]:
        """Return every family of this moment, the probes' first."""
        families: list[Family] = []
        with self._lock:
            self._drains += 1
            for probe in self._probes.values():
                families += self._collect(probe)
            numbers = list(self._numbers.values())
            drains = self._drains
        status = self.status
        build = replace(self._build, bcc=status.bcc_version if status else "")
        families += itself.families(build, status, numbers, drains, self._supervisor_memory())
        return [*families, itself.collect_failures(status, self._failures), *self._process.families()]

    def _collect(self, probe: RunningProbe) -> list[Family]:
        """Take one probe's families and sums; where that fails, it costs only this probe's families."""
        name = probe.loaded.name
        try:
            families, self._numbers[name] = probe.collect()
        except Exception as error:  # the border around one probe's collection
            self._failures[name] += 1
            self._seldom.log(logging.ERROR, f"probe '{name}': cannot be collected: {type(error).__name__}: {error}")
            return []
        return families

    def totals(self) -> list[itself.ProbeNumbers]:
        """Return the sums of events, for the last log line."""
        self.scrape()
        return list(self._numbers.values())

    def _supervisor_memory(self) -> int:
        pages = int(os.pread(self._supervisor_statm, 64, 0).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")
