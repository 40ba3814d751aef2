# SPDX-License-Identifier: Apache-2.0
"""Rates by unit, program and parent, shares, failures, losses, and the order of rows."""

from __future__ import annotations

from typing import Any

import pytest

from probed.commands.top.activity import Activity, activity
from probed.commands.top.readings import PageParser
from probed.commands.top.tables import TABLES, sort_rows
from support.top.pages import START, lives, page, series

EXECS = "probed_process_execs_total"
SECONDS = 0.5


def compare(after: dict[str, float], before: dict[str, float] | None = None, unit: str = "") -> Activity:
    """Return the activity of half a second; by default all counters were 0 before."""
    parser = PageParser()
    first = parser.parse(page(before if before is not None else dict.fromkeys(after, 0.0)), START, 10.0)
    return activity(first, parser.parse(page(after), START + SECONDS, 10.0 + SECONDS), unit)


def rows(found: Activity, key: str) -> list[dict[str, Any]]:
    table = next(table for table in found.tables if table.key == key)
    return [dict(zip([c.key for c in table.columns], row, strict=True)) for row in sort_rows(table, table.first_number)]


def execs(count: float, comm: str, parent: str, unit: str) -> dict[str, float]:
    return {series(EXECS, comm=comm, parent=parent, unit=unit): count}


WORK = {
    **execs(97.0, "git", "make", "a.service"),
    **execs(11.0, "cc", "make", "a.service"),
    **execs(13.0, "git", "sh", "b.service"),
    **lives(100.0, 75.0, comm="git", unit="a.service", exit="ok"),
    **lives(10.0, 10.0, comm="git", unit="b.service", exit="error"),
}


def test_starts_are_rates_by_unit_program_and_parent() -> None:
    found = compare(WORK)
    assert [(row["unit"], row["starts_per_second"]) for row in rows(found, "units")] == [
        ("a.service", 216.0),
        ("b.service", 26.0),
    ]
    assert [(row["program"], row["starts_per_second"], row["execs"]) for row in rows(found, "programs")] == [
        ("git", 220.0, 110.0),
        ("cc", 22.0, 11.0),
    ]
    assert [(row["parent"], row["most_started"], row["starts_per_second"]) for row in rows(found, "parents")] == [
        ("make", "git", 216.0),
        ("sh", "git", 26.0),
    ]
    assert found.totals.starts_per_second == 242.0


def test_starts_of_a_unit_are_the_larger_of_forks_and_execs() -> None:
    forks = {series("probed_process_forks_total", unit=unit): 31.0 for unit in ("a.service", "b.service")}
    found = compare({**WORK, **forks})
    assert {row["unit"]: row["starts_per_second"] for row in rows(found, "units")} == {
        "a.service": 216.0,
        "b.service": 62.0,
    }


def test_the_share_of_short_lives_is_exact() -> None:
    found = compare(WORK)
    assert {row["unit"]: row["short_share"] for row in rows(found, "units")} == {"a.service": 0.75, "b.service": 1.0}
    assert {row["program"]: row["short_share"] for row in rows(found, "programs")} == {"git": 85 / 110, "cc": None}
    assert found.totals.short_share == 85 / 110


def test_without_ends_the_share_is_unknown() -> None:
    found = compare(WORK, WORK)
    assert found.totals.short_share is None
    assert {row["short_share"] for row in rows(found, "units")} == {None}


def test_a_page_without_classic_buckets_has_no_share() -> None:
    native = {name: count for name, count in WORK.items() if "_bucket" not in name or '"+Inf"' in name}
    assert compare(native).totals.short_share is None


def test_failures_have_errno_call_and_program() -> None:
    calls = {"open_failures": "open", "process_exec_failures": "exec", "process_fork_failures": "fork"}
    counts = {
        series(f"probed_{name}_total", errno="EAGAIN", comm=f"c{n}", unit=f"{n}.service"): 7.0 * n
        for n, name in enumerate(calls, 1)
    }
    found = compare(counts)
    assert [tuple(row.values()) for row in rows(found, "failures")] == [
        ("EAGAIN", "fork", "c3", 42.0, 21.0),
        ("EAGAIN", "exec", "c2", 28.0, 14.0),
        ("EAGAIN", "open", "c1", 14.0, 7.0),
    ]
    assert [(row["unit"], row["failures_per_second"]) for row in rows(found, "units")] == [
        ("3.service", 42.0),
        ("2.service", 28.0),
        ("1.service", 14.0),
    ]
    assert found.totals.failures_per_second == 84.0


def test_system_calls_have_the_most_frequent_errno() -> None:
    counts = {
        series("probed_syscalls_total", syscall="futex"): 101.0,
        series("probed_syscall_failures_total", syscall="futex", errno="EAGAIN"): 5.0,
        series("probed_syscall_failures_total", syscall="futex", errno="ETIMEDOUT"): 7.0,
    }
    assert [tuple(row.values()) for row in rows(compare(counts), "system_calls")] == [
        ("futex", 202.0, 24.0, "ETIMEDOUT", 101.0)
    ]


def test_losses_are_events_notes_skipped_runs_and_differences() -> None:
    counts = {
        series("probed_events_lost_total", probe="process", reason="ring_full"): 3.0,
        series("probed_events_lost_total", probe="process", reason="map_full"): 0.0,
        series("probed_notes_lost_total", probe="process"): 5.0,
        series("probed_probe_missed_runs_total", probe="syscalls", program="on_return"): 7.0,
        series("probed_events_unaccounted", probe="cgroups"): 2.0,
    }
    found = compare(counts)
    assert [tuple(row.values()) for row in rows(found, "losses")] == [
        ("syscalls", "missed_runs", 14.0, 7.0),
        ("process", "notes", 10.0, 5.0),
        ("process", "ring_full", 6.0, 3.0),
        ("cgroups", "unaccounted", None, 2.0),
    ]
    assert found.totals.lost_per_second == 30.0


def test_a_filter_leaves_only_matching_units() -> None:
    calls = {series("probed_syscalls_total", syscall="futex"): 101.0}
    found = compare({**WORK, **calls}, unit="b.*")
    assert [row["unit"] for row in rows(found, "units")] == ["b.service"]
    assert [row["starts_per_second"] for row in rows(found, "programs")] == [26.0]
    assert found.totals.starts_per_second == 26.0
    assert found.totals.short_share == 1.0
    assert found.totals.calls_per_second == 202.0


def test_a_probe_that_is_down_is_named() -> None:
    up = {series("probed_probe_up", probe=probe): float(up) for probe, up in (("a", 1), ("c", 0), ("b", 0))}
    assert compare(up).probes_down == ("b", "c")


@pytest.mark.parametrize(
    ("column", "reverse", "units"),
    [(0, False, "abc"), (0, True, "cba"), (1, False, "bac"), (1, True, "cab"), (2, False, "cab"), (2, True, "acb")],
)
def test_rows_are_sorted_by_any_column_and_unknown_numbers_come_last(column: int, reverse: bool, units: str) -> None:
    counts = {
        **execs(5.0, "x", "y", "a"),
        **execs(7.0, "x", "y", "b"),
        **execs(3.0, "x", "y", "c"),
        **lives(10.0, 1.0, unit="a", comm="x", exit="ok"),
        **lives(10.0, 2.0, unit="c", comm="x", exit="ok"),
    }
    table = compare(counts).tables[0]
    assert "".join(str(row[0]) for row in sort_rows(table, column, reverse)) == units


def test_an_empty_page_has_empty_tables() -> None:
    assert [table.rows for table in compare({}).tables] == [()] * len(TABLES)
