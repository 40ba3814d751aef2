# SPDX-License-Identifier: Apache-2.0
"""The queries of the dashboards as text, on plain metrics, without recording rules.

Queries of lifetimes work with classic and with native histograms: where there are no series of the one form, the other
half of the query has the values. `$job`, `$instance`, `$unit`, `$namespace` and `$pod` are variables of `frame`; series
without pods pass while all namespaces and pods are chosen. `$__rate_interval` and `$__range` are variables of Grafana.
"""

from __future__ import annotations

HOST = 'job=~"$job", instance=~"$instance"'
UNIT = f'{HOST}, unit=~"$unit", namespace=~"$namespace", pod=~"$pod"'

OWNER = "unit, namespace, pod, container"
"""Labels of the owner of a process. Without pods a query has only the first."""

OWNER_LEGEND = "{{unit}} {{namespace}} {{pod}} {{container}}"
"""Legend of a series by OWNER; Grafana shows an absent label as nothing."""

FORKS = f"probed_process_forks_total{{{UNIT}}}"
FORK_FAILURES = f"probed_process_fork_failures_total{{{UNIT}}}"
THREADS = f"probed_process_threads_created_total{{{UNIT}}}"
EXECS = f"probed_process_execs_total{{{UNIT}}}"
EXEC_FAILURES = f"probed_process_exec_failures_total{{{UNIT}}}"
ENDS = f"probed_process_lifetime_seconds_count{{{UNIT}}}"
KILLED = f'probed_process_lifetime_seconds_count{{{UNIT}, exit=~"signal|core"}}'
LIFETIMES = f"probed_process_lifetime_seconds_bucket{{{UNIT}}}"
NATIVE_LIFETIMES = f"probed_process_lifetime_seconds{{{UNIT}}}"
# Prometheus 3 writes the bound as 1.0; Prometheus 2 keeps the text of the page.
UNDER_A_SECOND = f'probed_process_lifetime_seconds_bucket{{{UNIT}, le=~"1(\\\\.0)?"}}'
OPENS = f"probed_opens_total{{{HOST}}}"
OPEN_FAILURES = f"probed_open_failures_total{{{UNIT}}}"
OUT_OF_DESCRIPTORS = f'probed_open_failures_total{{{UNIT}, errno=~"EMFILE|ENFILE"}}'
CALLS = f"probed_syscalls_total{{{HOST}}}"
CALL_FAILURES = f"probed_syscall_failures_total{{{HOST}}}"
WAIT_TIME = f"probed_run_queue_wait_seconds_sum{{{UNIT}}}"
CPU_PERIODS = f"probed_cpu_throttling_periods_total{{{UNIT}}}"
THROTTLED_PERIODS = f"probed_cpu_throttling_throttled_periods_total{{{UNIT}}}"
THROTTLED_TIME = f"probed_cpu_throttling_throttled_seconds_total{{{UNIT}}}"
SOFTIRQ_TIME = f"probed_softirq_seconds_sum{{{HOST}}}"
DEVICE_TIME = f"probed_block_io_device_seconds_sum{{{HOST}}}"
DEVICE_REQUESTS = f"probed_block_io_device_seconds_count{{{HOST}}}"
DEVICE_BYTES = f"probed_block_io_bytes_total{{{HOST}}}"
PAGE_LOOKUPS = f"probed_page_cache_lookups_total{{{UNIT}}}"
PAGE_MISSES = f"probed_page_cache_misses_total{{{UNIT}}}"
FILE_TIME = f"probed_file_system_seconds_sum{{{HOST}}}"
FILE_CALLS = f"probed_file_system_seconds_count{{{HOST}}}"
PACKET_DROPS = f"probed_packet_drops_total{{{HOST}}}"
DROP_STACKS = f"probed_packet_drop_stacks_total{{{HOST}}}"
TCP_FAILURES = f"probed_tcp_connect_failures_total{{{UNIT}}}"
TCP_RETRANSMITS = f"probed_tcp_retransmits_total{{{UNIT}}}"
SIGNALS = f"probed_signals_total{{{UNIT}}}"
OOM_KILLS = f"probed_oom_kills_total{{{UNIT}}}"
BPF_CALLS = f"probed_bpf_calls_total{{{UNIT}}}"

_COUNT = "histogram_count({0})"
_SUM = "histogram_sum({0})"
_NATIVE = {
    ENDS: (NATIVE_LIFETIMES, _COUNT),
    KILLED: (f'probed_process_lifetime_seconds{{{UNIT}, exit=~"signal|core"}}', _COUNT),
    # The comparison drops NaN, the fraction of no ends.
    WAIT_TIME: (f"probed_run_queue_wait_seconds{{{UNIT}}}", _SUM),
    SOFTIRQ_TIME: (f"probed_softirq_seconds{{{HOST}}}", _SUM),
    DEVICE_TIME: (f"probed_block_io_device_seconds{{{HOST}}}", _SUM),
    DEVICE_REQUESTS: (f"probed_block_io_device_seconds{{{HOST}}}", _COUNT),
    FILE_TIME: (f"probed_file_system_seconds{{{HOST}}}", _SUM),
    FILE_CALLS: (f"probed_file_system_seconds{{{HOST}}}", _COUNT),
    UNDER_A_SECOND: (NATIVE_LIFETIMES, f"(histogram_fraction(-Inf, 1, {{0}}) * {_COUNT} >= 0)"),
}
"""For series of classic histograms the native histograms, and the function of their rate with the same values."""


def rate(series: str, by: str = "") -> str:
    """Return the sum of the rates of these series, by these labels."""
    return f"sum{_by(by)} ({_each('rate', series, '[$__rate_interval]')})"


def _each(function: str, series: str, window: str) -> str:
    """Return rate or increase of each of these series, from classic or native histograms."""
    classic = f"{function}({series}{window})"
    if series not in _NATIVE:
        return classic
    native, of_rate = _NATIVE[series]
    return f"{classic} or ignoring (le) {of_rate.format(f'{function}({native}{window})')}"


def top(count: int, series: str, by: str) -> str:
    """Return `rate` for the label sets with the highest rates over the time range, the same sets at every point."""
    ranking = f"sum by ({by}) ({_each('rate', series, '[$__range] @ end()')})"
    return f"{rate(series, by)} and topk({count}, {ranking})"


def top_now(count: int, series: str, by: str) -> str:
    """Return `rate` for the label sets with the highest rates now; for instant queries only."""
    return f"topk({count}, {rate(series, by)})"


def rise(series: str, by: str = "") -> str:
    """Return the increase of these series over the time range; for instant queries only."""
    return f"sum{_by(by)} ({_each('increase', series, '[$__range]')})"


def rise_of_top(count: int, series: str, by: str) -> str:
    """Return `rise` for the label sets of `top_now`."""
    return f"{rise(series, by)} and {top_now(count, series, by)}"


def share(part: str, whole: str, by: str = "") -> str:
    """Return the share of `part` in the rate of `whole`, 0 to 1; empty if that rate is 0."""
    return f"{rate(part, by)} / ({rate(whole, by)} > 0)"


def against_usual(series: str) -> str:
    """Return the rate as a multiple of its median over the time range, so short storms stand out."""
    return f"{rate(series)} / ({median(series)} > 0)"


def median(series: str, by: str = "") -> str:
    """Return the median of `rate` over the time range."""
    return f"quantile_over_time(0.5, ({rate(series, by)})[$__range:] @ end())"


def median_lifetimes(count: int) -> str:
    """Return the median lifetime of the programs with the most ends over the time range."""
    ranking = f"topk({count}, sum by (comm) ({_each('rate', ENDS, '[$__range] @ end()')}))"
    classic = f"histogram_quantile(0.5, {rate(LIFETIMES, 'comm, le')})"
    native = f"histogram_quantile(0.5, {rate(NATIVE_LIFETIMES, 'comm')})"
    return f"({classic} or {native}) and on (comm) {ranking}"


def or_zero(query: str, probe: str) -> str:
    """Return `query`, or 0 if empty while the probe is up: a label set without events has no series."""
    return f"{query} or on () {zero(probe)}"


def zero(probe: str) -> str:
    """Return 0 if the probe is up."""
    return f'0 * sum(probed_probe_up{{{HOST}, probe="{probe}"}})'


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
