# SPDX-License-Identifier: Apache-2.0
"""All probes that are up, and the state of the daemon: what a scrape is made of.

The drain loop (`loop`) and the HTTP threads call it; one lock keeps them apart.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from probed.exporter.cgroup.attribution import Attribution, attribute
from probed.exporter.cgroup.tree import Cgroups
from probed.exporter.decoders import Context
from probed.exporter.exposition.family import Family
from probed.exporter.probe import RunningProbe
from probed.exporter.self_metrics import daemon as itself
from probed.exporter.self_metrics.process import Process
from probed.exporter.self_metrics.stats import ProbeNumbers
from probed.exporter.series.scrapers import FIRST_SECONDS, Connection, Scrape, Scrapers
from probed.ipc.manifest import LoadedProbe, Status
from probed.log_limiter import Seldom

LOG = logging.getLogger("exporter")

ANNOUNCES_CGROUPS = "cgroups"
"""The probe whose events tell which path a cgroup id belongs to."""

KERNEL = Attribution("kernel", "")
UNKNOWN = Attribution("unknown", "")


class Collection:
    """The running probes by name, and the last `Status` from the supervisor (None until it has one)."""

    def __init__(self, build: itself.Build, process: Process, cpus: int, supervisor_statm: int) -> None:
        self._build = build
        self._process = process
        self._cpus = cpus
        self._supervisor_statm = supervisor_statm
        self._lock = threading.Lock()
        self._cgroups = Cgroups()
        self._context = Context(self._attribution, Path("/"), self._cgroups.living)
        self._probes: dict[str, RunningProbe] = {}
        self._numbers: dict[str, ProbeNumbers] = {}
        self._left_out = set[str]()
        self._failures: Counter[str] = Counter()
        self._seldom = Seldom(LOG)
        self._drains = 0
        self._scrapers = Scrapers(time.monotonic, FIRST_SECONDS)
        self.status: Status | None = None

    def add(self, loaded: LoadedProbe, fds: Mapping[str, int]) -> int | None:
        """Run a probe, instead of an older one of its name; return its ring's fd, if it has one.

        `fds` are by the names of `LoadedProbe.fd_names`. Where some are missing, for this process may open no more
        files, or where it cannot map them, the probe is left out: every scrape counts as one that failed to collect it.
        """
        try:
            probe = self._running(loaded, fds)
        except OSError as error:
            self._leave_out(loaded.name, fds, error)
            return None
        self.remove(loaded.name)
        with self._lock:
            self._probes[loaded.name] = probe
            if loaded.name == ANNOUNCES_CGROUPS:
                self._cgroups.walk()  # what was made before the announcements began
        return probe.ring_fd

    def _running(self, loaded: LoadedProbe, fds: Mapping[str, int]) -> RunningProbe:
        missing = [name for name in loaded.fd_names if name not in fds]
        if missing:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        hear = self._cgroups.hear if loaded.name == ANNOUNCES_CGROUPS else None
        return RunningProbe(loaded, fds, self._cpus, self._context, hear)

    def _leave_out(self, name: str, fds: Mapping[str, int], error: OSError) -> None:
        for fd in fds.values():
            os.close(fd)
        self.remove(name)
        with self._lock:
            self._left_out.add(name)
        text = "probe '%s' is left out until a restart: %s; see LimitNOFILE= and the limits of memory of the unit"
        LOG.error(text, name, error, extra={"PROBE": name})

    def remove(self, name: str) -> None:
        """Drop a probe and its series; nothing happens when there is none."""
        with self._lock:
            self._left_out.discard(name)
            probe = self._probes.pop(name, None)
            self._numbers.pop(name, None)
            if probe is not None:
                probe.close()
        if probe is not None:
            del probe
            gc.collect()  # its tables are in cycles, which keep its ring and its counters mapped

    def drain(self) -> None:
        """Count what waits in every ring."""
        with self._lock:
            self._drain()

    def _drain(self) -> dict[str, int]:
        """Drain every ring; return by probe how many bytes waited there.

        Who makes a cgroup does so before anything happens in it. So the announcements are taken after it was seen
        how far the other rings have come, and before those are read.
        """
        self._drains += 1
        fill = {name: probe.fill for name, probe in self._probes.items()}
        ends = {name: probe.waiting() for name, probe in self._probes.items()}
        announcing = self._probes.get(ANNOUNCES_CGROUPS)
        if announcing is not None:
            announcing.drain(announcing.waiting())
        for name, probe in self._probes.items():
            if probe is not announcing:
                probe.drain(ends[name])
        return fill

    def scrape(self, scraper: Connection | None = None) -> list[Family]:
        """Return every family of this moment, the probes' first.

        `scraper` is the connection of a scraper, None for another client.
        """
        families: list[Family] = []
        with self._lock:
            fill = self._drain()
            scrape = self._scrapers.scrape(scraper)
            for name, probe in self._probes.items():
                families += self._collect(probe, fill[name], scrape)
            self._failures.update(self._left_out)
            numbers = list(self._numbers.values())
            drains, unknown = self._drains, self._cgroups.unknown
        status = self.status
        build = replace(self._build, bcc=status.bcc_version if status else "")
        families += itself.families(build, status, numbers, drains, self._supervisor_memory())
        families += [itself.collect_failures(status, self._failures), itself.unknown_cgroups(unknown)]
        return families + self._process.families()

    def _attribution(self, cgroup: int) -> Attribution:
        """Return whose a cgroup id is; called by decoders, under the lock."""
        if cgroup == 0:
            return KERNEL
        path = self._cgroups.path(cgroup)
        return attribute(path) if path is not None else UNKNOWN

    def _collect(self, probe: RunningProbe, fill: int, scrape: Scrape) -> list[Family]:
        """Take one probe's families and sums; where that fails, it costs only this probe's families."""
        name = probe.loaded.name
        try:
            families, self._numbers[name] = probe.collect(fill, scrape)
        except Exception as error:  # the border around one probe's collection
            self._failures[name] += 1
            self._seldom.log(logging.ERROR, f"probe '{name}': cannot be collected: {type(error).__name__}: {error}")
            return []
        return families

    def totals(self) -> list[ProbeNumbers]:
        """Return the sums of events, for the last log line."""
        self.scrape()
        return list(self._numbers.values())

    def brief(self) -> list[ProbeNumbers]:
        """Return what each probe has lost and its series, as of the last drain; nothing of one that cannot be asked."""
        numbers = []
        with self._lock:
            for probe in self._probes.values():
                with suppress(OSError):  # the next scrape fails with it, and says so
                    numbers.append(probe.brief())
        return numbers

    def _supervisor_memory(self) -> int:
        pages = int(os.pread(self._supervisor_statm, 64, 0).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")
