# SPDX-License-Identifier: Apache-2.0
"""The dashboard *System calls*: rates and errors by name, and the busy units of the same time."""

from __future__ import annotations

from boards import promql
from boards.frame import CALL_ALERTS, Board, Row, firing, since
from boards.panels import ANY_IS_BAD, TIMES, Column, Panel, graph, listing, narrow, number, total

NO_UNIT = "probed counts system calls for the whole machine: the chosen unit does not apply."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-system-calls",
        title="System calls",
        text="Rates and errors of system calls, by name.",
        alerts=CALL_ALERTS,
        rows=[
            Row("", [*_how_bad(), *_by_name(), *_failing()]),
            Row("Busy units at the same time", _units()),
        ],
    )


def _how_bad() -> list[Panel]:
    return [
        number("System calls", f"System calls a second. {NO_UNIT}", promql.rate(promql.CALLS), "cps"),
        number(
            "Against its usual",
            "The current rate as a multiple of the median over the time range. Widen the range to compare with calm "
            "days.",
            promql.against_usual(promql.CALLS), TIMES, ((None, "green"), (3, "orange"), (10, "red")),
        ),
        number("Failures", "System calls a second that returned an error.", promql.rate(promql.CALL_FAILURES), "cps"),
        number(
            "Share that fails",
            "Failures among all calls. EAGAIN, ENOENT and ETIMEDOUT are normal; look for a jump.",
            promql.share(promql.CALL_FAILURES, promql.CALLS), "percentunit",
        ),
        number(
            "Largest share of one call",
            "Share of the most frequent system call. Near 100 % a program runs in a tight loop.",
            f"max({promql.rate(promql.CALLS, 'syscall')}) / ({promql.rate(promql.CALLS)} > 0)", "percentunit",
            ((None, "green"), (0.8, "orange")),
        ),
        total("Alerts firing", "Firing alerts about system calls.", firing(CALL_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _by_name() -> list[Panel]:
    return [
        graph(
            "System calls, by name",
            f"The twelve most frequent system calls in the time range. {NO_UNIT}",
            "cps", {"{{syscall}}": promql.top(12, promql.CALLS, "syscall")}, axis="calls a second",
        ),
        listing(
            "System calls, now",
            "The fifty most frequent system calls now, the share that fails, and the rate as a multiple of the call's "
            "median over the time range.",
            {"syscall": "System call"},
            [
                Column("Calls/s", promql.top_now(50, promql.CALLS, "syscall"), "cps", bar=True),
                Column("Fail", promql.share(promql.CALL_FAILURES, promql.CALLS, "syscall"), "percentunit"),
                Column("Against its usual", _against_usual_by_call(), TIMES),
            ],
        ),
    ]  # fmt: skip


def _against_usual_by_call() -> str:
    usual = promql.median(promql.CALLS, "syscall")
    return f"{promql.rate(promql.CALLS, 'syscall')} / ({usual} > 0) and {promql.top_now(50, promql.CALLS, 'syscall')}"


def _failing() -> list[Panel]:
    return [
        narrow(graph(
            "Failures, by name and error",
            "The twelve pairs of system call and error with most failures in the time range.",
            "cps", {"{{syscall}} {{errno}}": promql.top(12, promql.CALL_FAILURES, "syscall, errno")},
            axis="failures a second",
        ), 9),
        listing(
            "Failures, now",
            "The fifty pairs of system call and error with most failures now.",
            {"syscall": "System call", "errno": "Error"},
            [
                Column("Failures/s", promql.top_now(50, promql.CALL_FAILURES, "syscall, errno"), "cps", bar=True),
                Column("In the period", promql.rise_of_top(50, promql.CALL_FAILURES, "syscall, errno"), "short"),
            ],
        ).span(8),
        since(CALL_ALERTS, span=7),
    ]  # fmt: skip


def _units() -> list[Panel]:
    return [
        graph(
            "Processes started, by unit",
            "The ten units that started most in the time range. Often the same unit makes the calls.",
            "cps", {promql.OWNER_LEGEND: promql.top(10, promql.FORKS, promql.OWNER)}, axis="processes a second",
        ),
        graph(
            "Failed opens, by unit",
            "The ten units with most failed opens in the time range.",
            "cps", {promql.OWNER_LEGEND: promql.top(10, promql.OPEN_FAILURES, promql.OWNER)}, axis="failures a second",
        ),
    ]  # fmt: skip
