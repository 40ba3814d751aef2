# SPDX-License-Identifier: Apache-2.0
"""The activity between two pages: units, programs, parents, failures, system calls and losses by rate. Pure.

`tables` has the columns of the rows. Labels that the site configuration drops are empty texts here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from probed.commands.top import readings
from probed.commands.top.readings import Reading, increase
from probed.commands.top.tables import TABLES, RateTable, Row
from probed.frozen import frozen

_CALLS: Final = {
    readings.OPEN_FAILURES: "open",
    readings.EXEC_FAILURES: "exec",
    readings.FORK_FAILURES: "fork",
}
"""Calls with failures by unit and program. The failures of all system calls include them."""

_LOSSES: Final = {readings.LOST_NOTES: "notes", readings.MISSED_RUNS: "missed_runs"}
"""Counters of losses without the label `reason`."""


@frozen
class Totals:
    """Sums over all rows; `short_share` is None where no process ended, or the page has no classic buckets."""

    starts_per_second: float
    short_share: float | None
    opens_per_second: float
    failures_per_second: float
    calls_per_second: float
    lost_per_second: float


@frozen
class Activity:
    """The content of the screen: everything that two pages, `seconds` apart, tell."""

    seconds: float
    totals: Totals
    tables: tuple[RateTable, ...]
    probes_down: tuple[str, ...]


def activity(before: Reading, after: Reading, unit: str = "") -> Activity:
    """Return the activity between two pages, of units that match the glob `unit` (empty: all)."""
    counted = _Increases(before, after, unit)
    seconds = max(after.moment - before.moment, 1e-9)
    made = (_units, _programs, _parents, _failures, _system_calls, _losses)
    tables = tuple(replace(table, rows=tuple(rows(counted, seconds))) for table, rows in zip(TABLES, made, strict=True))
    down = sorted(labels.get("probe", "") for labels, up in after.of(readings.PROBE_UP) if not up)
    return Activity(seconds, _totals(counted, tables), tables, tuple(down))


class _Sum:
    """Increase and value of series that have some labels in common."""

    __slots__ = ("increase", "value")

    def __init__(self) -> None:
        self.increase = self.value = 0.0


_NONE: Final = _Sum()
_Sums = dict[tuple[str, ...], _Sum]


class _Increases:
    """Increases of all counters between two pages, of the wanted units."""

    def __init__(self, before: Reading, after: Reading, unit: str) -> None:
        self._series: dict[str, list[tuple[dict[str, str], float, float]]] = {}
        for series, value in after.values.items():
            labels = dict(series.labels)
            if unit and "unit" in labels and not fnmatchcase(labels["unit"], unit):
                continue
            added = increase(series, before, after)
            self._series.setdefault(series.name, []).append((labels, added, value))

    def add_up(self, name: str, *labels: str) -> _Sums:
        """Add up the series of a name by the values of some labels."""
        sums: _Sums = {}
        for having, added, value in self._series.get(name, ()):
            one = sums.setdefault(tuple(having.get(label, "") for label in labels), _Sum())
            one.increase += added
            one.value += value
        return sums

    def add_up_failures(self, label: str) -> _Sums:
        """Add up the failures of all calls with failures by program."""
        sums: _Sums = {}
        for name in _CALLS:
            for key, of_call in self.add_up(name, label).items():
                one = sums.setdefault(key, _Sum())
                one.increase += of_call.increase
                one.value += of_call.value
        return sums

    def short_share(self, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the share of lives under a second, where processes ended and the page has the bucket."""
        ended, short = self.add_up(readings.LIVES, *labels), self.add_up(readings.LIVES_BY_LENGTH, *labels)
        return {
            key: min(short[key].increase / all_lives.increase, 1.0)
            for key, all_lives in ended.items()
            if all_lives.increase and key in short
        }


def _units(counted: _Increases, seconds: float) -> Iterator[Row]:
    forks, execs = counted.add_up(readings.FORKS, "unit"), counted.add_up(readings.EXECS, "unit")
    opens, failures = counted.add_up(readings.OPENS, "unit"), counted.add_up_failures("unit")
    short = counted.short_share("unit")
    for unit in {**forks, **execs, **opens, **failures, **short}:
        # As the alerts: a program may fork without exec, or exec without fork.
        starts = max(forks.get(unit, _NONE).increase, execs.get(unit, _NONE).increase)
        yield (
            *unit,
            starts / seconds,
            short.get(unit),
            opens.get(unit, _NONE).increase / seconds,
            failures.get(unit, _NONE).increase / seconds,
            execs.get(unit, _NONE).value,
        )


def _programs(counted: _Increases, seconds: float) -> Iterator[Row]:
    execs, failures = counted.add_up(readings.EXECS, "comm"), counted.add_up_failures("comm")
    short = counted.short_share("comm")
    for comm in {**execs, **failures, **short}:
        started, failed = execs.get(comm, _NONE), failures.get(comm, _NONE)
        yield *comm, started.increase / seconds, short.get(comm), failed.increase / seconds, started.value


def _parents(counted: _Increases, seconds: float) -> Iterator[Row]:
    most: dict[str, tuple[float, float, str]] = {}
    for (parent, comm), started in counted.add_up(readings.EXECS, "parent", "comm").items():
        most[parent] = max(most.get(parent, (0.0, 0.0, "")), (started.increase, started.value, comm))
    for (parent,), started in counted.add_up(readings.EXECS, "parent").items():
        yield parent, most[parent][2], started.increase / seconds, started.value


def _failures(counted: _Increases, seconds: float) -> Iterator[Row]:
    for name, call in _CALLS.items():
        for (errno, comm), failed in counted.add_up(name, "errno", "comm").items():
            yield errno, call, comm, failed.increase / seconds, failed.value


def _system_calls(counted: _Increases, seconds: float) -> Iterator[Row]:
    calls = counted.add_up(readings.SYSCALLS, "syscall")
    failures = counted.add_up(readings.SYSCALL_FAILURES, "syscall")
    most: dict[str, tuple[float, float, str]] = {}
    for (call, errno), failed in counted.add_up(readings.SYSCALL_FAILURES, "syscall", "errno").items():
        most[call] = max(most.get(call, (0.0, 0.0, "")), (failed.increase, failed.value, errno))
    for key in {**calls, **failures}:
        made, failed = calls.get(key, _NONE), failures.get(key, _NONE)
        errno = most.get(key[0], (0.0, 0.0, ""))[2]
        yield *key, made.increase / seconds, failed.increase / seconds, errno, made.value


def _losses(counted: _Increases, seconds: float) -> Iterator[Row]:
    lost = counted.add_up(readings.LOST_EVENTS, "probe", "reason")
    for name, reason in _LOSSES.items():
        lost |= {(*probe, reason): each for probe, each in counted.add_up(name, "probe").items()}
    for key, each in lost.items():
        if each.value:
            yield *key, each.increase / seconds, each.value
    for probe, unaccounted in counted.add_up(readings.UNACCOUNTED, "probe").items():
        if unaccounted.value:
            yield *probe, "unaccounted", None, unaccounted.value


def _totals(counted: _Increases, tables: Sequence[RateTable]) -> Totals:
    units, _, _, failures, calls, losses = tables
    return Totals(
        starts_per_second=_column(units, "starts_per_second"),
        short_share=counted.short_share().get(()),
        opens_per_second=_column(units, "opens_per_second"),
        failures_per_second=_column(failures, "failures_per_second"),
        calls_per_second=_column(calls, "calls_per_second"),
        lost_per_second=_column(losses, "lost_per_second"),
    )


def _column(table: RateTable, key: str) -> float:
    at = next(n for n, column in enumerate(table.columns) if column.key == key)
    return sum((cell for row in table.rows if isinstance(cell := row[at], float)), 0.0)
