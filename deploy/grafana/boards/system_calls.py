# SPDX-License-Identifier: Apache-2.0
"""The dashboard *System calls*: which are made how often, which fail and why, and who was busy meanwhile."""

from __future__ import annotations

from boards import promql
from boards.frame import CALL_ALERTS, Board, Row, firing, since
from boards.panels import ANY_IS_BAD, TIMES, Column, Panel, graph, listing, narrow, number, total

NO_UNIT = "System calls are counted for the whole machine: the unit that is chosen above does not narrow them."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-system-calls",
        title="System calls",
        text="Which system calls are made how often, which fail, and why.",
        alerts=CALL_ALERTS,
        rows=[
            Row("", [*_how_bad(), *_which(), *_failing()]),
            Row("Who was busy meanwhile", _who()),
        ],
    )


def _how_bad() -> list[Panel]:
    return [
        number("System calls", f"System calls a second. {NO_UNIT}", promql.rate(promql.CALLS), "cps"),
        number(
            "Against its usual",
            "How many times the median of the period shown is made now. Widen the period to compare with calmer days.",
            promql.against_usual(promql.CALLS), TIMES, ((None, "green"), (3, "orange"), (10, "red")),
        ),
        number("Failures", "System calls a second that returned an error.", promql.rate(promql.CALL_FAILURES), "cps"),
        number(
            "Share that fails",
            "Failures among all calls. EAGAIN, ENOENT and ETIMEDOUT are everyday answers; a jump is what tells.",
            promql.share(promql.CALL_FAILURES, promql.CALLS), "percentunit",
        ),
        number(
            "Largest share of one call",
            "Share of the most frequent system call. Near 100 % somebody runs in a tight loop.",
            f"max({promql.rate(promql.CALLS, 'syscall')}) / {promql.rate(promql.CALLS)}", "percentunit",
            ((None, "green"), (0.8, "orange")),
        ),
        total("Alerts firing", "How many alerts about system calls fire now.", firing(CALL_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _which() -> list[Panel]:
    return [
        graph(
            "System calls, by name",
            f"The twelve that were made most in the period shown. {NO_UNIT}",
            "cps", {"{{syscall}}": promql.top(12, promql.CALLS, "syscall")}, axis="calls a second",
        ),
        listing(
            "System calls, now",
            "The fifty that are made most now, how many of them fail, and how many times their own median of the "
            "period that is.",
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
            "The twelve pairs of system call and error with most failures in the period shown.",
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


def _who() -> list[Panel]:
    return [
        graph(
            "Processes started, by unit",
            "The ten units that started most in the period shown: who makes the calls is often who starts processes.",
            "cps", {"{{unit}}": promql.top(10, promql.FORKS, "unit")}, axis="processes a second",
        ),
        graph(
            "Failed opens, by unit",
            "The ten units with most failed opens in the period shown.",
            "cps", {"{{unit}}": promql.top(10, promql.OPEN_FAILURES, "unit")}, axis="failures a second",
        ),
    ]  # fmt: skip
