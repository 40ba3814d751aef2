# SPDX-License-Identifier: Apache-2.0
"""Prometheus computes true rates from pages of a real series table, over hours of a played clock.

Rows change hands, leave when idle, and come back. promtool computes; both scrapers must see the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from support.monitoring.promtool import verify
from support.unit.played_rates import NAME, Scraper, Workload, play

pytestmark = pytest.mark.slow

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
STEADY: Final = {f"steady{number}": 11 for number in range(13)}
"""Names with rows from the first second on, and the events of each second."""

STARTED: Final = 10 * MINUTE
"""After so long no window of a rate has the start of the daemon in it."""

TOTAL: Final = sum(STEADY.values())


def out_of_step(interval: int) -> list[Scraper]:
    """Return two scrapers with one interval."""
    return [Scraper(interval, 0), Scraper(interval, interval // 2)]


def never_above(expression: str, bound: float, seconds: int, since: int) -> dict[str, Any]:
    """Expect an expression to exceed a bound at no scrape from `since` to the end."""
    return {
        "expr": f"max_over_time(({expression})[{seconds - since}s:15s]) > {bound:g}",
        "eval_time": f"{seconds - 15}s",
        "exp_samples": [],
    }


def increased(name: str, count: int, seconds: int, at: int) -> dict[str, Any]:
    """Expect all scrapers to see a series rise by a count within 5 %, at the last sample (`at`)."""
    seen = f'increase({NAME}{{name="{name}"}}[{seconds}s])'
    return {
        "expr": f"count(abs({seen} - {count}) < {0.05 * count:g})",
        "eval_time": f"{at}s",
        "exp_samples": [{"labels": "{}", "value": 2}],
    }


def check_rates(folder: Path, workload: Workload, seconds: int, loudest: int, **of: Any) -> None:
    """Play a workload to two scrapers; expect no rate of the sum above the highest true rate by 5 %.

    The first minutes are left out: events before the first page are in the rates afterwards.
    """
    machines = play(workload, seconds, out_of_step(15), **of)
    rates = [f"sum by (instance) (rate({NAME}[{window}]))" for window in ("1m", "5m")]
    verify(folder, machines, [never_above(rate, 1.05 * loudest, seconds, STARTED) for rate in rates])


def test_a_night_jobs_row_that_changes_hands_raises_no_rate(tmp_path: Path) -> None:
    def workload(second: int) -> Mapping[str, int]:
        if second < 10 * MINUTE:
            return {**STEADY, "night-job": 12_007}
        return {**STEADY, "newcomer": 1} if second > 50 * MINUTE else STEADY

    machines = play(workload, 70 * MINUTE, out_of_step(15), budget=len(STEADY) + 2)
    quiet = never_above(f"sum by (instance) (rate({NAME}[1m]))", 1.05 * (TOTAL + 1), 70 * MINUTE, 12 * MINUTE)
    won = {
        "expr": f'count({NAME}{{name="newcomer"}} > 0)',
        "eval_time": f"{70 * MINUTE - 15}s",
        "exp_samples": [{"labels": "{}", "value": 2}],
    }
    verify(tmp_path, machines, [quiet, won])


def test_rows_that_leave_idle_and_come_back_raise_no_rate(tmp_path: Path) -> None:
    def workload(second: int) -> Mapping[str, int]:
        return {**STEADY, "guest": 7} if second // (5 * MINUTE) % 2 else STEADY

    check_rates(tmp_path, workload, HOUR, TOTAL + 7, idle=2.0 * MINUTE)


def test_a_row_that_is_fought_over_raises_no_rate(tmp_path: Path) -> None:
    def workload(second: int) -> Mapping[str, int]:
        return {**STEADY, f"guest{second // (3 * MINUTE) % 3}": 7}

    check_rates(tmp_path, workload, HOUR, TOTAL + 7, budget=len(STEADY) + 2)


@pytest.mark.parametrize("interval", [5, 15])
@pytest.mark.parametrize("lived", [1, 5, 15, 10 * MINUTE], ids="{} s".format)
def test_the_increase_of_a_units_events_is_what_happened(tmp_path: Path, interval: int, lived: int) -> None:
    def workload(second: int) -> Mapping[str, int]:
        return {**STEADY, "unit": 17} if 607 <= second < 607 + lived else STEADY

    seconds = 30 * MINUTE
    machines = play(workload, seconds, out_of_step(interval))
    checks = [increased("unit", 17 * lived, seconds, seconds - interval)]
    verify(tmp_path, machines, checks, interval=f"{interval}s")


def test_the_increase_has_the_first_minute_of_a_daemon(tmp_path: Path) -> None:
    def workload(second: int) -> Mapping[str, int]:
        return {"first": 19} if second < MINUTE else STEADY

    seconds = 10 * MINUTE
    machines = play(workload, seconds, out_of_step(15))
    verify(tmp_path, machines, [increased("first", 19 * MINUTE, seconds, seconds - 15)])
