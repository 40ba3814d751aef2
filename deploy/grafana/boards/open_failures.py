# SPDX-License-Identifier: Apache-2.0
"""The dashboard *Open failures*: who cannot open what it wants, why, and who runs out of file descriptors."""

from __future__ import annotations

from boards import promql
from boards.frame import OPEN_ALERTS, Board, Row, firing, since
from boards.panels import (
    ANY_IS_BAD,
    OTHER,
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

WHO = "unit, comm, errno"

ERRNOS = {
    "ENOENT": "blue", "EACCES": "orange", "EPERM": "dark-orange", "EMFILE": "red", "ENFILE": "dark-red",
    "ENOSPC": "purple", "EROFS": "dark-purple",
}  # fmt: skip
"""The same error has the same colour everywhere; what no descriptor is left for is red."""


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-open-failures",
        title="Open failures",
        text="Who fails to open files, why, and who has run out of file descriptors.",
        alerts=OPEN_ALERTS,
        rows=[
            Row("", [*_how_bad(), *_why_and_who(), *_out_of_descriptors()]),
            Row("Who", _over_time()),
        ],
    )


def _how_bad() -> list[Panel]:
    return [
        number(
            "Calls of open",
            "Calls of open, openat, openat2 and creat a second, of the whole machine: they are not counted by unit.",
            promql.rate(promql.OPENS), "cps",
        ),
        number(
            "Failures",
            "Calls a second that failed, of the chosen units.",
            promql.or_zero(promql.rate(promql.OPEN_FAILURES), "open_failures"), "cps",
        ),
        number(
            "Against its usual",
            "How many times the median of the period shown fails now. Widen the period to compare with calmer days.",
            promql.against_usual(promql.OPEN_FAILURES), TIMES, ((None, "green"), (3, "orange"), (10, "red")),
        ),
        number(
            "Share that fails",
            "Failures of the chosen units among all calls of the machine. Search paths make tens of percent normal.",
            promql.or_zero(promql.share(promql.OPEN_FAILURES, promql.OPENS), "open_failures"), "percentunit",
        ),
        total(
            "Out of descriptors",
            "Failures with EMFILE (the process has no file descriptor left) or ENFILE (the machine has none) that the "
            "series now on the page have seen. Should be 0.",
            promql.or_zero(f"sum ({promql.OUT_OF_DESCRIPTORS})", "open_failures"), "short", ANY_IS_BAD,
        ),
        total("Alerts firing", "How many alerts about opens fire now.", firing(OPEN_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _why_and_who() -> list[Panel]:
    return [
        coloured(
            stacked(graph(
                "Why opens fail",
                "Failures a second by error. ENOENT comes from search paths and is mostly harmless; EMFILE and "
                "ENFILE never are.",
                "cps", {"{{errno}}": promql.rate(promql.OPEN_FAILURES, "errno")}, axis="failures a second",
            )),
            ERRNOS,
        ),
        listing(
            "Who fails with what, now",
            "A click on a unit shows only that unit. "
            f"'{OTHER}' is what came past the budget of series: many names, each of them seldom.",
            {"unit": "Unit", "comm": "Program", "errno": "Error"},
            [
                Column("Failures/s", promql.top_now(20, promql.OPEN_FAILURES, WHO), "cps", bar=True),
                Column("In the period", promql.rise_of_top(20, promql.OPEN_FAILURES, WHO), "short"),
            ],
        ),
    ]  # fmt: skip


def _out_of_descriptors() -> list[Panel]:
    return [
        narrow(graph(
            "Out of file descriptors",
            "Failures a second with EMFILE or ENFILE, by unit and program. The remedy is in the runbook.",
            "cps",
            {"{{unit}} {{comm}} {{errno}}": _running_out()},
            axis="failures a second",
        ), 9),
        listing(
            "Who ran out",
            "All failures with EMFILE or ENFILE that the series now on the page have seen: also the first one, "
            "of which a "
            "rate shows nothing.",
            {"unit": "Unit", "comm": "Program", "errno": "Error"},
            [Column("Failures", f"sum by ({WHO}) ({promql.OUT_OF_DESCRIPTORS}) > 0", "short")],
        ).span(8),
        since(OPEN_ALERTS, span=7),
    ]  # fmt: skip


def _running_out() -> str:
    nobody = promql.zero("open_failures")
    return f'{promql.rate(promql.OUT_OF_DESCRIPTORS, WHO)} or on () label_replace({nobody}, "comm", "nobody", "", "")'


def _over_time() -> list[Panel]:
    return [
        graph(
            "Failures, by unit",
            "The ten units with most failures in the period shown.",
            "cps", {"{{unit}}": promql.top(10, promql.OPEN_FAILURES, "unit")}, axis="failures a second",
        ),
        graph(
            "Failures, by program",
            "The ten programs with most failures in the period shown.",
            "cps", {"{{comm}}": promql.top(10, promql.OPEN_FAILURES, "comm")}, axis="failures a second",
        ),
    ]  # fmt: skip
