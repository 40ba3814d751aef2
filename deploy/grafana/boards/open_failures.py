# SPDX-License-Identifier: Apache-2.0
"""The dashboard *Open failures*: failed opens by unit, program and error, and exhausted file descriptors."""

from __future__ import annotations

from boards import promql
from boards.frame import OPEN_ALERTS, Board, Row, firing, since
from boards.panels import (
    ANY_IS_BAD,
    OTHER,
    OWNER,
    TIMES,
    Column,
    Panel,
    coloured,
    graph,
    listing,
    narrow,
    number,
    stacked,
    total,
)

CALLER = f"{promql.OWNER}, comm, errno"

ERRNOS = {
    "ENOENT": "blue", "EACCES": "orange", "EPERM": "dark-orange", "EMFILE": "red", "ENFILE": "dark-red",
    "ENOSPC": "purple", "EROFS": "dark-purple",
}  # fmt: skip
"""The colour of each error on all panels; errors of exhausted file descriptors are red."""


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-open-failures",
        title="Open failures",
        text="Failed opens by unit, program and error, and programs without file descriptors.",
        alerts=OPEN_ALERTS,
        rows=[
            Row("", [*_how_bad(), *_errors_and_callers(), *_out_of_descriptors()]),
            Row("Units and programs", _over_time()),
        ],
    )


def _how_bad() -> list[Panel]:
    return [
        number(
            "Calls of open",
            "Calls of open, openat, openat2 and creat a second, of the whole machine.",
            promql.rate(promql.OPENS), "cps",
        ),
        number(
            "Failures",
            "Failed calls a second, of the chosen units.",
            promql.or_zero(promql.rate(promql.OPEN_FAILURES), "open_failures"), "cps",
        ),
        number(
            "Against its usual",
            "The current rate as a multiple of the median over the time range. Widen the range to compare with calm "
            "days.",
            promql.against_usual(promql.OPEN_FAILURES), TIMES, ((None, "green"), (3, "orange"), (10, "red")),
        ),
        number(
            "Share that fails",
            "Failures of the chosen units among all calls of the machine. Search paths make tens of percent normal.",
            promql.or_zero(promql.share(promql.OPEN_FAILURES, promql.OPENS), "open_failures"), "percentunit",
        ),
        total(
            "Out of descriptors",
            "Failures with EMFILE (the process has no file descriptor left) or ENFILE (the machine has none) in the "
            "series on the page. Should be 0.",
            promql.or_zero(f"sum ({promql.OUT_OF_DESCRIPTORS})", "open_failures"), "short", ANY_IS_BAD,
        ),
        total("Alerts firing", "Firing alerts about opens.", firing(OPEN_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _errors_and_callers() -> list[Panel]:
    return [
        coloured(
            stacked(graph(
                "Failed opens, by error",
                "Failures a second by error. ENOENT comes from search paths and is mostly harmless; EMFILE and "
                "ENFILE never are.",
                "cps", {"{{errno}}": promql.rate(promql.OPEN_FAILURES, "errno")}, axis="failures a second",
            )),
            ERRNOS,
        ),
        listing(
            "Callers and errors, now",
            "Click a unit to select only this unit. "
            f"'{OTHER}' counts label sets past the metric's budget: many rare names.",
            {**OWNER, "comm": "Program", "errno": "Error"},
            [
                Column("Failures/s", promql.top_now(20, promql.OPEN_FAILURES, CALLER), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.OPEN_FAILURES, CALLER), "short"),
            ],
        ),
    ]  # fmt: skip


def _out_of_descriptors() -> list[Panel]:
    return [
        narrow(graph(
            "Out of file descriptors",
            "Failures a second with EMFILE or ENFILE, by unit and program. The runbook has the remedy.",
            "cps",
            {f"{promql.OWNER_LEGEND} {{{{comm}}}} {{{{errno}}}}": _running_out()},
            axis="failures a second",
        ), 9),
        listing(
            "Programs without descriptors",
            "All failures with EMFILE or ENFILE in the series on the page, also a single one.",
            {**OWNER, "comm": "Program", "errno": "Error"},
            [Column("Failures", f"sum by ({CALLER}) ({promql.OUT_OF_DESCRIPTORS}) > 0", "short")],
        ).span(8),
        since(OPEN_ALERTS, span=7),
    ]  # fmt: skip


def _running_out() -> str:
    none = promql.zero("open_failures")
    return f'{promql.rate(promql.OUT_OF_DESCRIPTORS, CALLER)} or on () label_replace({none}, "comm", "none", "", "")'


def _over_time() -> list[Panel]:
    return [
        graph(
            "Failures, by unit",
            "The ten units with most failures in the time range.",
            "cps", {promql.OWNER_LEGEND: promql.top(10, promql.OPEN_FAILURES, promql.OWNER)}, axis="failures a second",
        ),
        graph(
            "Failures, by program",
            "The ten programs with most failures in the time range.",
            "cps", {"{{comm}}": promql.top(10, promql.OPEN_FAILURES, "comm")}, axis="failures a second",
        ),
    ]  # fmt: skip
