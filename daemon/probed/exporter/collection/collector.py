# SPDX-License-Identifier: Apache-2.0
"""The collector: all running probes and the state of the daemon, from which a scrape is made.

`drain_loop` and the HTTP threads call it; one lock keeps them apart. A drain gives up the lock between two batches, so
a scrape waits for one batch of a long drain. Walks of the cgroup tree and deletions from kernel maps take long where
thousands of cgroups live, and run without the lock; a reading drains, and empties the maps of events without room, in
one piece.

A step of one probe that raises costs that probe's part of the drain or page (`ProbeSteps`).
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace

from probed.exporter.arrays.ledger import SpoiledState
from probed.exporter.bpf.reading_schedule import ReadingSchedule
from probed.exporter.cgroup.owners import CgroupOwners
from probed.exporter.cgroup.tree import CgroupTree
from probed.exporter.collection.fair_lock import FairLock
from probed.exporter.collection.probe import RunningProbe
from probed.exporter.collection.probe_families import ProbeFamilies
from probed.exporter.collection.probe_readings import ANNOUNCES_CGROUPS, ProbeReadings
from probed.exporter.collection.probe_steps import ProbeSteps
from probed.exporter.collection.served_status import ServedStatus
from probed.exporter.collection.storm_watch import StormWatch
from probed.exporter.decoders import Context
from probed.exporter.decoders.lookup import Lookups
from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics import tables
from probed.exporter.self_metrics.daemon import Build, DaemonStats, WorkStats
from probed.exporter.self_metrics.probes import ProbeSnapshot, ProbeStats
from probed.exporter.self_metrics.process import Process
from probed.exporter.series.scrapers import FIRST_SECONDS, Scrape, ScraperConnection, Scrapers
from probed.ipc.evidence_messages import EvidenceReport, WantEvidence
from probed.ipc.manifest import FdName, LoadedProbe
from probed.linux.os_errors import why_not

LOG = logging.getLogger("exporter")


class Collector:
    """The running probes by name, and the status that this process serves."""

    def __init__(
        self,
        build: Build,
        process: Process,
        cpus: int,
        supervisor_statm: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build = build
        self._process = process
        self._cpus = cpus
        self._supervisor_statm = supervisor_statm
        self._lock = FairLock()
        self._deleting = threading.Lock()  # held while entries are deleted, and while fds are closed
        self._cgroups = CgroupTree()
        self._lookups = Lookups(clock=clock)
        self._owners = owners = CgroupOwners(self._cgroups, clock)
        self._context = Context(
            owners.attribution,
            self._lookups,
            self._cgroups.removed,
            self._cgroups.doubt,
            owners.watched_pod_names,
            owners.container_name,
        )
        self._schedule = ReadingSchedule()
        self._probes: dict[str, RunningProbe] = {}
        self._steps = ProbeSteps(self._probes)
        self._readings = ProbeReadings(self._probes, self._steps, owners, self._lookups, self._lock.pause)
        self._families = ProbeFamilies(self._probes, self._steps, self._cgroups.note_lost)
        self._clock = clock
        self._work = WorkStats()
        self._scrapers = Scrapers(clock, FIRST_SECONDS)
        self.status = ServedStatus()
        self.storms = StormWatch(owners.attribution, self._cgroups.known_path, clock)
        self.evidence = EvidenceReport()

    @property
    def is_held_up(self) -> bool:
        """Whether the last drain of a ring ended early, at a record that its program had not submitted."""
        return bool(self._readings.held_up)

    def add(self, loaded: LoadedProbe, fds: Mapping[FdName, int]) -> int | None:
        """Run a probe, instead of an older one of this name; return the fd of the ring, None without one.

        `fds` are by the names of `LoadedProbe.fd_names`. Where some are missing, since the process may open no more
        files, or cannot be mapped, the probe is left out: not up, and every scrape counts as a failed collection. An
        older version of equal fingerprint may have the same memory, and ends before.
        """
        try:
            probe = self._renewed(loaded, fds) or self._running(loaded, fds)
            probe.tally = self.storms.tally(loaded)
        except OSError as error:
            self._leave_out(loaded.name, fds, error)
            return None
        self._list_pods_if_due()
        with self._lock:
            if self._probes.get(loaded.name) is not probe:
                self._drop(loaded.name)
                self._probes[loaded.name] = probe
        gc.collect()  # reference cycles keep ring and counters mapped
        if loaded.name == ANNOUNCES_CGROUPS:
            self._walk_cgroups()  # control groups made before the announcements began
            self._cgroups.hears_all = True
        return probe.ring_fd

    def _renewed(self, loaded: LoadedProbe, fds: Mapping[FdName, int]) -> RunningProbe | None:
        """Run a probe in place of an older version of equal fingerprint; None without one. Raises OSError."""
        with self._lock:
            older = self._probes.get(loaded.name)
            if older is None or older.loaded.fingerprint != loaded.fingerprint:
                return None
            del older
            self._drop(loaded.name)
            self._probes[loaded.name] = probe = self._running(loaded, fds)
            return probe

    def _running(self, loaded: LoadedProbe, fds: Mapping[FdName, int]) -> RunningProbe:
        missing = [name for name in loaded.fd_names if name not in fds]
        if missing:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        hear = self._cgroups.hear if loaded.name == ANNOUNCES_CGROUPS else None
        try:
            return RunningProbe(loaded, fds, self._cpus, self._context, hear)
        except SpoiledState as error:
            text = "probe '%s': an earlier exporter left spoiled counts (%s): counts of events begin anew at 0"
            LOG.error(text, loaded.name, error, extra={"PROBE": loaded.name})
        os.ftruncate(fds[FdName("state")], 0)
        return RunningProbe(loaded, fds, self._cpus, self._context, hear)

    def _leave_out(self, name: str, fds: Mapping[FdName, int], error: OSError) -> None:
        for fd in fds.values():
            os.close(fd)
        self.remove(name)
        why = f"left out until a restart: {why_not(error)}"
        with self._lock:
            self.status.leave_out(name, f"the exporter has it {why}")
        LOG.error("probe '%s' is %s", name, why, extra={"PROBE": name})

    def remove(self, name: str) -> None:
        """Drop a probe and its series, if there is one of this name."""
        with self._lock:
            dropped = self._drop(name)
        if dropped:
            gc.collect()  # reference cycles keep ring and counters mapped

    def _drop(self, name: str) -> bool:
        """Drop a probe and its series, with the lock; return whether there was one."""
        self.status.forget(name)
        self._readings.held_up.discard(name)
        probe = self._probes.pop(name, None)
        self._families.forget(name)
        if probe is None:
            return False
        if name == ANNOUNCES_CGROUPS:
            self._cgroups.hears_all = False
        with self._deleting:
            probe.close()
        return True

    def drain(self) -> None:
        """Count the waiting events of every ring; read the maps too when many control groups were announced."""
        with self._lock:
            self._drain()
            due = self._schedule.is_due_at_once(self._cgroups.announced, self._cgroup_rooms())
            if due or self._readings.are_overflowing():
                self._read_maps()
        self._retire()

    def begin_watch(self) -> None:
        """Begin to count events by unit, if a storm may have woken the loop."""
        if not self.storms.may_begin:
            return
        with self._lock:
            self._drain()
            self._read_maps()
            self.storms.begin()
        self._retire()

    def watch_due_in(self) -> float:
        """Return the seconds until the end of a watch, infinity without a watch."""
        due = self.storms.due_in()
        return float("inf") if due is None else due

    def end_watch(self) -> list[WantEvidence]:
        """End a watch that is due; return the storms of which evidence is wanted."""
        if self.watch_due_in() > 0:
            return []
        with self._lock:
            self._drain()
            self._read_maps()
            wanted = self.storms.end()
        self._retire()
        return wanted

    def keep_up(self) -> None:
        """Read the maps, and walk the cgroup tree, if due without scrapes; called with each heartbeat.

        Waiting announcements are drained first, to be counted.
        """
        self.walk_cgroups_if_due()
        self._list_pods_if_due()
        with self._lock:
            self._owners.hear()
            announcing = self._probes.get(ANNOUNCES_CGROUPS)
            if announcing is not None and announcing.fill:
                self._drain()
            filling = any(probe.is_filling for probe in self._probes.values())
            if self._schedule.is_due_at_beat(self._cgroups.announced, announcing is not None, filling):
                self._read_maps()
        self._retire()

    def walk_cgroups_if_due(self) -> None:
        """Walk the cgroup tree if a walk may find missing paths or removed cgroups."""
        if self._cgroups.wants_walk:
            self._walk_cgroups()

    def _walk_cgroups(self) -> None:
        with self._lock:
            walk = self._cgroups.begin_walk()
        found = self._cgroups.read_tree()
        with self._lock:
            self._cgroups.end_walk(walk, found)

    def _list_pods_if_due(self) -> None:
        """List kubelet's log folders if a label shows names, and the kernel's notes on the folders do not suffice."""
        logs = self._owners.kubelet_logs
        with self._lock:
            if not logs.wants_listing:
                return
            listing = logs.begin_listing()
        found = logs.read(listing)
        with self._lock:
            logs.end_listing(listing, found)

    def name_containers(self, names: Mapping[str, str], removed: Iterable[str]) -> None:
        """Take over names of containers by id from the supervisor, and the ids of removed containers."""
        with self._lock:
            self._owners.name_containers(names, removed)

    def _retire(self) -> None:
        """Delete the counted entries of removed control groups, without the lock.

        Programs and other threads change nothing of these entries. A probe that goes waits with closing its fds.
        """
        with self._deleting:
            failed = [name for name, probe in list(self._probes.items()) if not self._steps.take(probe, probe.retire)]
        if failed:
            with self._lock:
                self._steps.count_failed(failed)

    def _cgroup_rooms(self) -> list[int]:
        return [room for probe in self._probes.values() if (room := probe.cgroup_room) is not None]

    def _drain(self) -> tuple[dict[str, int], set[str]]:
        """Drain every ring; return by probe how many bytes waited there, and the names of failed probes."""
        begin = self._clock()
        drained = self._readings.drain()
        work = self._work
        seconds = work.drain_seconds + self._clock() - begin
        self._work = replace(work, drains=work.drains + 1, drain_seconds=seconds)
        return drained

    def _read_maps(self, left_out: Set[str] = frozenset()) -> set[str]:
        """Read and count the maps of all probes but some; return the names of those and of failed probes."""
        failed = self._readings.read_maps(left_out)
        self._schedule.begin(self._cgroups.announced)
        return failed

    def scrape(self, scraper: ScraperConnection | None = None) -> list[Family]:
        """Return every present family, those of the probes first.

        `scraper` is the connection of a scraper, None for another client.
        """
        self.walk_cgroups_if_due()
        with self._lock:
            fill, undrained = self._drain()
            families = self._collect_all(fill, undrained, self._scrapers.scrape(scraper))
            self._steps.count_failed(self.status.left_out)
            numbers = self._families.numbers
            work, unknown = self._work, self._cgroups.unknown
        self._retire()
        status = self.status.current
        build = replace(self._build, bcc=status.bcc_version if status else "")
        memory = self._supervisor_memory()
        daemon = DaemonStats(build, status, work, memory, unknown, self._process.starts, self.evidence)
        probes = ProbeSnapshot(status.probes if status else (), numbers, self._steps.failures, self._process.starts)
        return families + tables.families(daemon, probes) + self._process.families()

    def _collect_all(self, fill: Mapping[str, int], undrained: Set[str], scrape: Scrape) -> list[Family]:
        begin = self._clock()
        failed = self._read_maps(self._readings.read_rows(undrained))
        families = self._families.collect(failed, fill, scrape)
        work = self._work
        seconds = work.collection_seconds + self._clock() - begin
        self._work = replace(work, collections=work.collections + 1, collection_seconds=seconds)
        return families

    def totals(self) -> list[ProbeStats]:
        """Return the sums of events, for the last log line."""
        self.scrape()
        return self._families.numbers

    def loss_summary(self) -> list[ProbeStats]:
        """Return losses and series of each probe as of the last drain, without probes that cannot be read."""
        with self._lock:
            return self._families.loss_summary()

    def _supervisor_memory(self) -> int:
        pages = int(os.pread(self._supervisor_statm, 64, 0).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")
