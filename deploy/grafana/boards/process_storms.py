# SPDX-License-Identifier: Apache-2.0
"""The dashboard *Process storms*: spawning units and programs, start, rates, and ends of processes."""

from __future__ import annotations

from boards import promql
from boards.frame import STORM_ALERTS, Board, Row, firing, since
from boards.panels import (
    ANY_IS_BAD,
    OTHER,
    OWNER,
    TIMES,
    Column,
    Panel,
    coloured,
    graph,
    lifetimes,
    listing,
    narrow,
    number,
    stacked,
    total,
)

PROGRAM = f"{promql.OWNER}, parent, comm"
ENDED = f"{promql.OWNER}, comm, exit"
FAILED = f"{promql.OWNER}, comm, errno"

# An idle machine forks about 11 times a second, with spikes to 18; 100 a second is a loop.
FORK_STEPS = ((None, "green"), (50, "orange"), (100, "red"))
USUAL_STEPS = ((None, "green"), (3, "orange"), (10, "red"))
# A few SIGTERM are normal.
SIGNAL_STEPS = ((None, "green"), (0.1, "orange"), (1, "red"))

EXITS = {"ok": "green", "error": "yellow", "signal": "orange", "core": "red"}


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-process-storms",
        title="Process storms",
        text="Started processes by unit, parent and program, with lifetimes and ends, also of short-lived ones.",
        alerts=STORM_ALERTS,
        rows=[
            Row("", [*_how_bad(), *_units_and_programs(), *_how_long_and_how()]),
            Row("Programs and parents", _programs()),
            Row("Crashes, failed execs and failed forks", [*_failures(), *_limits()]),
        ],
    )


def _how_bad() -> list[Panel]:
    return [
        number(
            "Processes started",
            "New processes a second (forks). An idle machine makes about 11.",
            promql.rate(promql.FORKS), "cps", FORK_STEPS,
        ),
        number(
            "Against its usual",
            "The current rate as a multiple of the median over the time range. Widen the range to compare with calm "
            "days.",
            promql.against_usual(promql.FORKS), TIMES, USUAL_STEPS,
        ),
        number(
            "Live under a second",
            "Share of ended processes with a life of a second or less since the last exec. Most programs that shells "
            "start live so briefly: judge the share together with the rate.",
            promql.or_zero(promql.share(promql.UNDER_A_SECOND, promql.ENDS), "process"), "percentunit",
        ),
        number(
            "Ended by a signal",
            "Processes a second ended by a signal, with or without a core dump.",
            promql.or_zero(promql.rate(promql.KILLED), "process"), "cps", SIGNAL_STEPS,
        ),
        number(
            "Failed execs",
            "Failed calls of execve and execveat a second. Shells and env search $PATH this way: a few are normal.",
            promql.or_zero(promql.rate(promql.EXEC_FAILURES), "process"), "cps",
        ),
        total("Alerts firing", "Firing alerts about processes.", firing(STORM_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _units_and_programs() -> list[Panel]:
    return [
        graph(
            "Processes started, by unit",
            "The ten units that started most in the time range. Red marks show the periods in which alerts fired.",
            "cps", {promql.OWNER_LEGEND: promql.top(10, promql.FORKS, promql.OWNER)}, axis="processes a second",
        ),
        listing(
            "Started programs, now",
            "The parent's comm and the started program. Click a unit to select only this unit. "
            f"'{OTHER}' counts label sets past the metric's budget: many rare names.",
            {**OWNER, "parent": "Parent", "comm": "Program"},
            [
                Column("Starts/s", promql.top_now(20, promql.EXECS, PROGRAM), "cps", bar=True),
                Column("Live under 1 s", _short_lived_share(), "percentunit"),
            ],
        ),
    ]  # fmt: skip


def _short_lived_share() -> str:
    """Return the share of short lives for each row of the table; lifetimes have no parent."""
    program = f"{promql.OWNER}, comm"
    share = promql.share(promql.UNDER_A_SECOND, promql.ENDS, program)
    return f"0 * {promql.top_now(20, promql.EXECS, PROGRAM)} + on ({program}) group_left () ({share})"


def _how_long_and_how() -> list[Panel]:
    return [
        lifetimes(
            "How long processes live",
            "Ends of processes a second, by lifetime since the last exec. A storm of short-lived processes is a bright "
            "band at the bottom.",
            (promql.rate(promql.LIFETIMES, "le"), promql.rate(promql.NATIVE_LIFETIMES)), "cps",
        ).span(9),
        coloured(
            narrow(stacked(graph(
                "How they end",
                "Ends a second by kind: ok (status 0), error (another status), signal, core (a signal that dumps "
                "core).",
                "cps", {"{{exit}}": promql.rate(promql.ENDS, "exit")}, axis="ends a second",
            )), 8),
            EXITS,
        ),
        since(STORM_ALERTS, span=7),
    ]  # fmt: skip


def _programs() -> list[Panel]:
    return [
        graph(
            "Starts, by program",
            "The ten most started programs (comm after the exec) in the time range.",
            "cps", {"{{comm}}": promql.top(10, promql.EXECS, "comm")}, axis="execs a second",
        ),
        graph(
            "Starts, by parent",
            "The ten parents (comm of the parent process) with the most execs of children in the time range.",
            "cps", {"{{parent}}": promql.top(10, promql.EXECS, "parent")}, axis="execs a second",
        ),
        graph(
            "Live under a second, by unit",
            "Ends a second of processes with a life of a second or less, in the ten units with the most.",
            "cps", {promql.OWNER_LEGEND: promql.top(10, promql.UNDER_A_SECOND, promql.OWNER)}, axis="ends a second",
        ),
        graph(
            "Median lifetime, by program",
            "Median lifetime of the ten programs with the most ends in the time range, estimated within a bucket.",
            "s", {"{{comm}}": promql.median_lifetimes(10)}, axis="lifetime",
        ),
    ]  # fmt: skip


def _failures() -> list[Panel]:
    return [
        listing(
            "Ended by a signal, now",
            "Programs that signals end. 'core' is a signal that dumps core by default, as SIGSEGV.",
            {**OWNER, "comm": "Program", "exit": "End"},
            [
                Column("Ends/s", promql.top_now(20, promql.KILLED, ENDED), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.KILLED, ENDED), "short"),
            ],
        ),
        listing(
            "Failed execs, now",
            "Callers that fail to start a program: ENOENT is not found, EACCES not permitted. The metric names the "
            "caller, not the wanted program.",
            {**OWNER, "comm": "Caller", "errno": "Error"},
            [
                Column("Failures/s", promql.top_now(20, promql.EXEC_FAILURES, FAILED), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.EXEC_FAILURES, FAILED), "short"),
            ],
        ),
    ]  # fmt: skip


def _limits() -> list[Panel]:
    return [
        listing(
            "Failed forks, now",
            "Callers that fail to create a process or a thread: EAGAIN is a limit of processes (TasksMax=, ulimit -u), "
            "ENOMEM a lack of memory.",
            {**OWNER, "comm": "Caller", "errno": "Error"},
            [
                Column("Failures/s", promql.top_now(20, promql.FORK_FAILURES, FAILED), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.FORK_FAILURES, FAILED), "short"),
            ],
        ),
        graph(
            "Threads created, by unit",
            "The ten units that created most threads in the time range, without the first thread of each process. "
            "Threads count towards the limits of processes.",
            "cps", {promql.OWNER_LEGEND: promql.top(10, promql.THREADS, promql.OWNER)}, axis="threads a second",
        ),
    ]  # fmt: skip
