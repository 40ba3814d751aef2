# SPDX-License-Identifier: Apache-2.0
"""The few shapes of query that the dashboards are made of, as text. Plain metrics only: no recording rule is needed.

`$job`, `$instance` and `$unit` are the variables of `frame`; `$__rate_interval` and `$__range` are Grafana's.
"""

from __future__ import annotations

HOST = 'job=~"$job", instance=~"$instance"'
UNIT = f'{HOST}, unit=~"$unit"'

FORKS = f"probed_process_forks_total{{{UNIT}}}"
EXECS = f"probed_process_execs_total{{{UNIT}}}"
EXEC_FAILURES = f"probed_process_exec_failures_total{{{UNIT}}}"
ENDS = f"probed_process_lifetime_seconds_count{{{UNIT}}}"
KILLED = f'probed_process_lifetime_seconds_count{{{UNIT}, exit=~"signal|core"}}'
LIFETIMES = f"probed_process_lifetime_seconds_bucket{{{UNIT}}}"
# The text of a bound is the server's business: Prometheus 3 writes 1.0 where 2 took what it got.
UNDER_A_SECOND = f'probed_process_lifetime_seconds_bucket{{{UNIT}, le=~"1(\\\\.0)?"}}'
OPENS = f"probed_opens_total{{{HOST}}}"
OPEN_FAILURES = f"probed_open_failures_total{{{UNIT}}}"
OUT_OF_DESCRIPTORS = f'probed_open_failures_total{{{UNIT}, errno=~"EMFILE|ENFILE"}}'
CALLS = f"probed_syscalls_total{{{HOST}}}"
CALL_FAILURES = f"probed_syscall_failures_total{{{HOST}}}"


def rate(series: str, by: str = "") -> str:
    """Return the sum of what these series rise by a second, by these labels."""
    return f"sum{_by(by)} (rate({series}[$__rate_interval]))"


def top(count: int, series: str, by: str) -> str:
    """Return `rate` for the label sets that rose most in the whole period shown: the same ones at every point."""
    ranking = f"sum by ({by}) (rate({series}[$__range] @ end()))"
    return f"{rate(series, by)} and topk({count}, {ranking})"


def top_now(count: int, series: str, by: str) -> str:
    """Return `rate` for the label sets that rise most at this point; for instant queries only."""
    return f"topk({count}, {rate(series, by)})"


def rise(series: str, by: str = "") -> str:
    """Return by how much these series rose in the whole period shown; for instant queries only."""
    return f"sum{_by(by)} (increase({series}[$__range]))"


def rise_of_top(count: int, series: str, by: str) -> str:
    """Return `rise` for the label sets of `top_now`."""
    return f"{rise(series, by)} and {top_now(count, series, by)}"


def share(part: str, whole: str, by: str = "") -> str:
    """Return which share of the rate of `whole` is `part`, 0 to 1; nothing where nothing happened."""
    return f"{rate(part, by)} / ({rate(whole, by)} > 0)"


def against_usual(series: str) -> str:
    """Return the rate as a multiple of its median over the period shown: a storm of less than half of it stands out."""
    return f"{rate(series)} / ({median(series)} > 0)"


def median(series: str, by: str = "") -> str:
    """Return the median of `rate` over the period shown."""
    return f"quantile_over_time(0.5, ({rate(series, by)})[$__range:] @ end())"


def or_zero(query: str, probe: str) -> str:
    """Return 0 where `query` has nothing although the probe is there: a label set that never happened has no series."""
    return f"{query} or on () {zero(probe)}"


def zero(probe: str) -> str:
    """Return 0 where the probe is there."""
    return f'0 * sum(probed_probe_up{{{HOST}, probe="{probe}"}})'


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
