# SPDX-License-Identifier: Apache-2.0
"""The dashboard *Process storms*: who spawns what, since when, how bad, and how it ends."""

from __future__ import annotations

from boards import promql
from boards.frame import STORM_ALERTS, Board, Row, firing, since
from boards.panels import (
    ANY_IS_BAD,
    OTHER,
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

WHO = "unit, parent, comm"

# An idle machine forks about 11 times a second, with spikes to 18; from 100 on somebody does it in a loop.
FORK_STEPS = ((None, "green"), (50, "orange"), (100, "red"))
USUAL_STEPS = ((None, "green"), (3, "orange"), (10, "red"))
# Now and then somebody sends SIGTERM.
SIGNAL_STEPS = ((None, "green"), (0.1, "orange"), (1, "red"))

EXITS = {"ok": "green", "error": "yellow", "signal": "orange", "core": "red"}


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-process-storms",
        title="Process storms",
        text="Who spawns what, how long it lives and how it ends, however short-lived.",
        alerts=STORM_ALERTS,
        rows=[
            Row("", [*_how_bad(), *_who_and_since_when(), *_how_long_and_how()]),
            Row("Who: programs and parents", _programs()),
            Row("Why: crashes and failed execs", _failures()),
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
            "How many times the median of the period shown is started now. Widen the period to compare with calmer "
            "days.",
            promql.against_usual(promql.FORKS), TIMES, USUAL_STEPS,
        ),
        number(
            "Live under a second",
            "Share of the processes that end now whose life was a second or less, counted from their last exec. "
            "Most of what shells start is: it tells only together with a rate.",
            promql.or_zero(promql.share(promql.UNDER_A_SECOND, promql.ENDS), "process"), "percentunit",
        ),
        number(
            "Ended by a signal",
            "Processes a second that a signal ended, with or without a core dump.",
            promql.or_zero(promql.rate(promql.KILLED), "process"), "cps", SIGNAL_STEPS,
        ),
        number(
            "Failed execs",
            "Calls of execve and execveat a second that failed. Shells and env look through $PATH this way: a "
            "few are normal.",
            promql.or_zero(promql.rate(promql.EXEC_FAILURES), "process"), "cps",
        ),
        total("Alerts firing", "How many alerts about processes fire now.", firing(STORM_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _who_and_since_when() -> list[Panel]:
    return [
        graph(
            "Processes started, by unit",
            "The ten units that started most in the period shown. The red marks are alerts, from where to where "
            "they fired.",
            "cps", {"{{unit}}": promql.top(10, promql.FORKS, "unit")}, axis="processes a second",
        ),
        listing(
            "Who starts what, now",
            "The parent's comm, and the program that it started. A click on a unit shows only that unit. "
            f"'{OTHER}' is what came past the budget of series: many names, each of them seldom.",
            {"unit": "Unit", "parent": "Parent", "comm": "Program"},
            [
                Column("Starts/s", promql.top_now(20, promql.EXECS, WHO), "cps", bar=True),
                Column("Live under 1 s", _short_lived_share(), "percentunit"),
            ],
        ),
    ]  # fmt: skip


def _short_lived_share() -> str:
    """Return the share of short lives for each row of the table; lifetimes know no parent."""
    share = promql.share(promql.UNDER_A_SECOND, promql.ENDS, "unit, comm")
    return f"0 * {promql.top_now(20, promql.EXECS, WHO)} + on (unit, comm) group_left () ({share})"


def _how_long_and_how() -> list[Panel]:
    return [
        lifetimes(
            "How long processes live",
            "Ends of processes a second, by how long they lived since their last exec. A storm of short-lived "
            "processes is a bright band low down.",
            promql.rate(promql.LIFETIMES, "le"), "cps",
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
            "The ten programs (comm after the exec) that were started most in the period shown.",
            "cps", {"{{comm}}": promql.top(10, promql.EXECS, "comm")}, axis="execs a second",
        ),
        graph(
            "Starts, by parent",
            "The ten parents (comm of the parent process) whose children called exec most in the period shown.",
            "cps", {"{{parent}}": promql.top(10, promql.EXECS, "parent")}, axis="execs a second",
        ),
        graph(
            "Live under a second, by unit",
            "Ends a second of processes that lived a second or less: the ten units with most of them.",
            "cps", {"{{unit}}": promql.top(10, promql.UNDER_A_SECOND, "unit")}, axis="ends a second",
        ),
        graph(
            "Half of them live less than this, by program",
            "Median lifetime of the ten programs that ended most in the period shown, estimated within a bucket.",
            "s", {"{{comm}}": _median_lifetimes()}, axis="lifetime",
        ),
    ]  # fmt: skip


def _median_lifetimes() -> str:
    ranking = f"topk(10, sum by (comm) (rate({promql.ENDS}[$__range] @ end())))"
    return f"histogram_quantile(0.5, {promql.rate(promql.LIFETIMES, 'comm, le')}) and on (comm) {ranking}"


def _failures() -> list[Panel]:
    return [
        listing(
            "Ended by a signal, now",
            "Programs that are killed or crash, over and over. 'core' is a signal that dumps core by default, as "
            "SIGSEGV.",
            {"unit": "Unit", "comm": "Program", "exit": "End"},
            [
                Column("Ends/s", promql.top_now(20, promql.KILLED, "unit, comm, exit"), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.KILLED, "unit, comm, exit"), "short"),
            ],
        ),
        listing(
            "Failed execs, now",
            "Who tries to start what cannot be started: ENOENT is not found, EACCES not permitted. "
            "The program is the caller: the one that it wanted is not known.",
            {"unit": "Unit", "comm": "Caller", "errno": "Error"},
            [
                Column("Failures/s", promql.top_now(20, promql.EXEC_FAILURES, "unit, comm, errno"), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.EXEC_FAILURES, "unit, comm, errno"), "short"),
            ],
        ),
    ]  # fmt: skip
