# SPDX-License-Identifier: Apache-2.0
"""One loaded probe as the exporter runs it: ring, sources and tables.

`collector` owns one for each running probe, drains it and takes its families. `probe_sources` reads maps and iterators,
`probe_tables` has the series; the ring, the commits and the sums of events are here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from probed.exporter.arrays.ledger import Ledger, require
from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.bpf.map_usage import HashMap, HashUsage
from probed.exporter.bpf.program_stats import ProgramInfo, ProgramStats, read_all
from probed.exporter.bpf.ringbuf import Ring
from probed.exporter.collection.probe_sources import ProbeSources
from probed.exporter.collection.probe_tables import NANOSECONDS, ProbeTables
from probed.exporter.collection.stats_map import STAT_MAP_FULL, STAT_NOTE_LOST, STAT_RING_FULL, STAT_SENT, StatsMap
from probed.exporter.collection.storm_watch import Tally
from probed.exporter.decoders import Context
from probed.exporter.exposition.family import Family
from probed.exporter.self_metrics.probes import ProbeStats
from probed.exporter.self_metrics.sliding_maximum import SlidingMaximum
from probed.exporter.series.scrapers import Scrape
from probed.exporter.series.weights import Weights
from probed.exporter.weights.weighted_events import WeightedEvents
from probed.ipc.attach_points import hook_name
from probed.ipc.manifest import ChainSlot, FdName, LoadedProbe

BATCH = 1 << 13
"""Events taken at once: enough for numpy, and few enough for the CPU's cache."""

LEAST_BATCH = 1 << 6
"""Events taken at once of a small ring; else at most a quarter of the ring, so that programs soon find room again."""


class RunningProbe:
    """Not thread-safe: `collector` holds its lock around every call."""

    def __init__(
        self,
        loaded: LoadedProbe,
        fds: Mapping[FdName, int],
        cpus: int,
        context: Context,
        hear: Callable[[NDArray[Any]], None] | None = None,
    ) -> None:
        """`fds` by the names of `LoadedProbe.fd_names`; they stay open until `close`. Raises OSError, SpoiledState.

        `context` is for the decoders; `hear` gets every batch of events before the count.
        """
        self._context = context
        self._hear = hear
        self.tally: Tally | None = None
        """Gets all events that count, if set."""
        self._cpus = cpus
        self.loaded = loaded
        self._fds = fds
        self._stats = StatsMap(fds[FdName("stats")], cpus)
        self._ledger = Ledger(fds[FdName("state")], loaded.fingerprint)
        self._ring = Ring.map(fds[FdName("ring")], loaded.ring_bytes, loaded.event) if loaded.event else None
        self._highest_fill = SlidingMaximum()
        self._position, self._delivered, self._discarded, self._corrupt = (self._ledger.scalar() for _ in range(4))
        self._records = self._ledger.scalar()
        self._drained_ns, self._read_ns = self._ledger.scalar(), self._ledger.scalar()
        self._looks = dict[int, int]()  # times by the end of the ring found then
        self._reading_ns = 0
        if not self._ledger.commits:
            self._drained_ns.value = self._read_ns.value = int(loaded.start_time * NANOSECONDS)
        if self._ring:
            self._batch = min(BATCH, max(LEAST_BATCH, loaded.ring_bytes // self._ring.stride // 4))
            self._take_over(self._ring)
        self._weighted = (
            WeightedEvents.of(loaded, fds, cpus, self._ledger, self._stats.overflow) if loaded.slots else None
        )
        self._end = 0
        self._is_closed = False
        self._sources = ProbeSources(loaded, fds, cpus, context, self._ledger)
        self._tables = ProbeTables(loaded, context, self._ledger, self._drained_ns, self._read_ns)
        if self._weighted:
            self._tables.hurry_while(self._weighted.are_many_waiting)
        elif ring := self._ring:
            self._tables.hurry_while(lambda: ring.is_nearly_full)
        self._cut_readings = {each.program: self._ledger.scalar() for each in loaded.iterators}
        self._programs = [
            ProgramInfo(fds[FdName("fdinfo", name)], name, point) for name, point in loaded.attach_points.items()
        ]
        self._behind_hooks: list[ProgramStats] = []
        self._hooks = {place.attach_point: self._hook(place) for place in loaded.places}
        self._hashes = [HashMap(name.of, fd, cpus) for name, fd in fds.items() if name.kind == "hash"]
        self._ledger.trim()

    def _hook(self, place: ChainSlot) -> ProgramInfo:
        point = place.attach_point
        return ProgramInfo(self._fds[FdName("hook", point)], hook_name(point), point)

    def _take_over(self, ring: Ring) -> None:
        """Go on from the last commit: an earlier exporter may have died before it released counted records.

        Raises SpoiledState.
        """
        require(not ring.was_spoiled, "the ring's consumer position lies outside of the ring")
        if self._ledger.commits:
            position, corrupt = self._position.value, self._corrupt.value
            records = self._records.value + self._discarded.value + corrupt
            require(ring.is_plausible(position, records, corrupt), "position and counts of the ring do not agree")
            ring.skip_to(position)
        else:
            self._delivered.value = self._records.value = ring.records  # by an exporter without this memory
        ring.take_over_losses(self._records.value, self._discarded.value, self._corrupt.value)
        ring.skip_unless_whole()

    @property
    def ring_fd(self) -> int | None:
        """The ring's descriptor, readable at the fill mark; None without a ring."""
        return self._fds.get(FdName("ring"))

    @property
    def fill(self) -> int:
        """Bytes waiting in the ring."""
        return self._ring.fill if self._ring else 0

    def waiting(self) -> int:
        """Return the end of the waiting records, in records since the ring was made."""
        looked = time.time_ns()
        end = self._ring.end if self._ring else 0
        self._looks.setdefault(end, looked)
        return end

    def drain(self, end: int, pause: Callable[[], None] | None = None) -> bool:
        """Count the ring's records up to `end`, as `waiting` returned it; return False if the drain ended before `end`.

        A drain ends early at a record that a program has reserved and not yet submitted. Later records wait for the
        next drain: a busy ring would deliver a few events at a time for ever. In a `pause` between two batches another
        thread may drain the probe further, or close it.
        """
        ring = self._ring
        while ring is not None and ring.records < end:
            records = ring.batch(min(self._batch, end - ring.records))
            if self._hear is not None:
                self._hear(records)
            self._count(records, self._weighted.weigh(records) if self._weighted else None)
            self._records.value += len(records)
            self._commit()
            if not ring.release():
                break
            if pause is not None and ring.records < end:
                pause()
                if self._is_closed:
                    return True
        self._sample_fill()
        reached = ring is None or ring.records >= end
        if reached:
            self._drained_ns.value = max(self._drained_ns.value, self._looks.get(end, 0))
            self._looks = {each: looked for each, looked in self._looks.items() if each > end}
        return reached

    def _count(self, events: NDArray[Any], weights: Weights | None) -> None:
        if weights is not None and not weights.times.all():  # an earlier reading of the slot had some of the events
            fresh = weights.times > 0
            events, weights = events.compress(fresh), weights.where(fresh)
        if self.tally is not None and not (weights is not None and weights.are_others):
            self.tally(events, weights)
        self._tables.add_events(events, weights)
        self._delivered.value += len(events) if weights is None else int(weights.times.sum())

    def _sample_fill(self) -> None:
        """Take over the ring's highest fill, which only grows between two releases."""
        if self._ring is not None:
            self._highest_fill.add(self._ring.highest_fill)
            self._ring.highest_fill = 0

    def _commit(self) -> None:
        """Commit the counts together with the ring's position."""
        if self._ring is not None:
            self._position.value = self._ring.next
            self._discarded.value, self._corrupt.value = self._ring.discarded, self._ring.corrupt
        self._ledger.commit()

    @property
    def cgroup_room(self) -> int | None:
        """Control groups that fit into the smallest map by control group; None without such a map."""
        rooms = [*self._sources.cgroup_rooms, self._weighted.cgroup_room if self._weighted else None]
        return min((room for room in rooms if room is not None), default=None)

    def is_overflowing(self) -> bool:
        """Say whether many events wait beside the full ring, to be read. Raises OSError."""
        return self._weighted is not None and self._weighted.are_many_waiting()

    @property
    def is_filling(self) -> bool:
        """Say whether the last reading found a map by control group more than a quarter full."""
        return self._sources.are_filling

    def forget_keys(self) -> None:
        """Make all label text anew as keys come."""
        self._tables.forget_keys()

    def read_rows(self) -> None:
        """Run the programs at iterators. Raises OSError."""
        for program in self._sources.read_rows():
            self._cut_readings[program].value += 1

    def read_maps(self) -> None:
        """Read the kernel's maps, and then where the ring ends. Raises OSError."""
        self._reading_ns = time.time_ns()
        if self._weighted:
            self._weighted.read()
        self._sources.read_maps()
        self._end = self.waiting()

    def count_maps(self) -> bool:
        """Count the increments and take over the values that `read_maps` found.

        Drains the ring up to the end that `read_maps` found; returns False if the drain ended early. Raises OSError.
        """
        are_drained = self.drain(self._end)
        if self._weighted:
            for events, weights in self._weighted.take(are_drained):
                self._count(events, weights)
        self._tables.add_maps(self._sources)
        if are_drained:
            self._read_ns.value = self._reading_ns
        self._commit()
        self._sources.settle()
        if self._weighted and self._weighted.retire():
            self._commit()
        return are_drained

    def retire(self) -> None:
        """Delete the entries of removed control groups that have been counted. Raises OSError.

        `collector` calls it without its lock, but never beside `close`.
        """
        self._sources.retire()

    def collect(self, fill: int, scrape: Scrape) -> tuple[list[Family], ProbeStats]:
        """Return the present families and sums for the page `scrape`. Raises OSError.

        `fill` are the bytes that the drain before found waiting.
        """
        self._tables.set_rows(self._sources)
        families = self._tables.families(scrape)
        self._commit()
        return families, self._numbers(fill)

    def _programs_behind_hooks(self) -> list[ProgramStats]:
        """Return the programs, read once: what changes are the numbers of their hooks."""
        if len(self._behind_hooks) < len(self._programs):
            self._behind_hooks = read_all(self._programs)
        return self._behind_hooks

    def _hash_usages(self) -> list[HashUsage]:
        """Return the usage of the hash maps; maps of metrics as of the last reading."""
        return self._sources.usages() + [each.usage() for each in self._hashes]

    def loss_summary(self) -> ProbeStats:
        """Return only losses and usages. Raises OSError."""
        return ProbeStats(self.loaded.name, lost=self._lost(self._stats.read()), usages=self._tables.usages())

    def _unaccounted(self) -> int:
        records = self._ring.unaccounted(lambda: self._stats.read().get(STAT_SENT, 0)) if self._ring else 0
        return records + (self._weighted.unaccounted if self._weighted else 0)

    def _lost(self, stats: Mapping[int, int]) -> dict[str, int]:
        corrupt = self._ring.corrupt if self._ring else 0
        return {"ring_full": stats.get(STAT_RING_FULL, 0), "map_full": stats.get(STAT_MAP_FULL, 0), "corrupt": corrupt}

    def _numbers(self, fill: int) -> ProbeStats:
        stats = self._stats.read()
        lost = self._lost(stats)
        ring = self._ring
        hooks = read_all(self._hooks.values())
        return ProbeStats(
            name=self.loaded.name,
            emitted=self._delivered.value + self._undelivered_records() + lost["ring_full"] + lost["map_full"],
            delivered=self._delivered.value,
            discarded=ring.discarded if ring else 0,
            lost=lost,
            ring_bytes=self.loaded.ring_bytes,
            ring_records=ring.records if ring else 0,
            ring_fill_bytes=fill,
            ring_fill_max_bytes=self._highest_fill.value(),
            unaccounted=self._unaccounted(),
            notes_lost=stats.get(STAT_NOTE_LOST, 0),
            start_time=self.loaded.start_time,
            map_bytes=self.loaded.map_bytes,
            usages=self._tables.usages(),
            missed={place.program: self._missed(place, hooks) for place in self.loaded.places},
            programs=self._programs_behind_hooks(),
            hooks=hooks,
            hashes=self._hash_usages(),
            cut_readings={program: cut.value for program, cut in self._cut_readings.items()},
        )

    def _undelivered_records(self) -> int:
        """Return the records up to the position of the last drain that were not delivered: discarded or corrupt."""
        return self._ring.records - self._records.value if self._ring else 0

    @staticmethod
    def _missed(place: ChainSlot, hooks: Sequence[ProgramStats]) -> int:
        """Return the skipped runs of a program, which are those of its hook."""
        return sum(hook.misses for hook in hooks if hook.attach_point == place.attach_point)

    def renewed(self) -> RunningProbe:
        """Return a probe on the same fds that goes on from the last commit. Raises OSError, SpoiledState."""
        self._is_closed = True
        renewed = RunningProbe(self.loaded, self._fds, self._cpus, self._context, self._hear)
        renewed.tally = self.tally
        return renewed

    def close(self) -> None:
        """Close the probe's fds; the ring's mapping ends with this object."""
        self._is_closed = True
        for fd in self._fds.values():
            os.close(fd)
