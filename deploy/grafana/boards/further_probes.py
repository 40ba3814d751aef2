# SPDX-License-Identifier: Apache-2.0
"""The dashboard *Further probes*: one panel for each probe that is off by default."""

from __future__ import annotations

from boards import promql
from boards.frame import MEMORY_ALERTS, QUOTA_ALERTS, Board, Row
from boards.panels import Panel, graph, wide

HOST_ONLY = "The chosen unit does not apply."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-further-probes",
        title="Further probes",
        text=(
            "CPU waits and quotas, softirqs, block devices, page cache, file systems, dropped packets, TCP, signals, "
            "lack of memory, calls of bpf(2)."
        ),
        alerts=(*MEMORY_ALERTS, *QUOTA_ALERTS),
        rows=[
            Row(
                "",
                [*_processors(), *_devices(), *_page_cache(), *_file_systems(), *_network_and_memory(), *_processes()],
            )
        ],
    )


def _top(count: int, series: str, by: str, probe: str) -> str:
    return promql.or_zero(promql.top(count, series, by), probe)


def _processors() -> list[Panel]:
    throttled = promql.share(promql.THROTTLED_PERIODS, promql.CPU_PERIODS, "unit")
    return [
        graph(
            "Waiting for a CPU, by unit",
            "Seconds a second in which runnable threads of the unit wait for a CPU: 1 is one thread that always waits. "
            "Needs the probe run_queue.",
            "s", {"{{unit}}": _top(10, promql.WAIT_TIME, "unit", "run_queue")}, axis="seconds a second",
        ),
        graph(
            "Periods in which a CPU quota is used up, by unit",
            "Share of the periods of the unit's quota at whose end threads of the unit had to wait. Needs the probe "
            "cpu_throttling.",
            "percentunit",
            {"{{unit}}": promql.or_zero(throttled, "cpu_throttling")},
            axis="share of the periods",
        ),
        graph(
            "Time denied by a CPU quota, by unit",
            "Seconds a second in which a quota denies a CPU to the unit, added up over the CPUs. Needs the probe "
            "cpu_throttling.",
            "s", {"{{unit}}": _top(10, promql.THROTTLED_TIME, "unit", "cpu_throttling")}, axis="seconds a second",
        ),
        graph(
            "Time in softirqs, by vector",
            f"Share of one CPU that softirqs take. Needs the probe softirqs. {HOST_ONLY}",
            "percentunit", {"{{vector}}": _top(10, promql.SOFTIRQ_TIME, "vector", "softirqs")}, axis="share of a CPU",
        ),
    ]  # fmt: skip


def _devices() -> list[Panel]:
    mean = promql.share(promql.DEVICE_TIME, promql.DEVICE_REQUESTS, "device, operation")
    return [
        graph(
            "Mean latency of block devices",
            f"Mean time from a request's issue to its completion. Needs the probe block_io. {HOST_ONLY}",
            "s", {"{{device}} {{operation}}": promql.or_zero(mean, "block_io")}, axis="seconds",
        ),
        graph(
            "Bytes of block devices",
            f"The twelve pairs of device and operation with most bytes. Needs the probe block_io. {HOST_ONLY}",
            "Bps",
            {"{{device}} {{operation}}": _top(12, promql.DEVICE_BYTES, "device, operation", "block_io")},
            axis="bytes a second",
        ),
    ]  # fmt: skip


def _file_systems() -> list[Panel]:
    mean = promql.share(promql.FILE_TIME, promql.FILE_CALLS, "file_system, operation")
    return [
        graph(
            "Mean time of calls on files, by file system",
            f"Mean time of reads, writes and opens. Needs the probe file_system. {HOST_ONLY}",
            "s", {"{{file_system}} {{operation}}": promql.or_zero(mean, "file_system")}, axis="seconds",
        ),
        graph(
            "Time in calls on files, by file system",
            "Seconds a second that threads spend in such calls: the twelve pairs of file system and operation with "
            f"most. Needs the probe file_system. {HOST_ONLY}",
            "s",
            {"{{file_system}} {{operation}}": _top(12, promql.FILE_TIME, "file_system, operation", "file_system")},
            axis="seconds a second",
        ),
    ]  # fmt: skip


def _page_cache() -> list[Panel]:
    missed = promql.share(promql.PAGE_MISSES, promql.PAGE_LOOKUPS, "access")
    return [
        graph(
            "Misses in the page cache, by unit and access",
            "The twelve pairs of unit and access with most misses by reads and page faults. "
            "Needs the probe page_cache.",
            "cps", {"{{unit}} {{access}}": _top(12, promql.PAGE_MISSES, "unit, access", "page_cache")},
            axis="misses a second",
        ),
        graph(
            "Hit ratio of the page cache, by access",
            "Share of the lookups by reads and by page faults that found the page in the cache. Needs the probe "
            "page_cache.",
            "percentunit", {"{{access}}": promql.or_zero(f"1 - ({missed})", "page_cache")},
            axis="share of the lookups",
        ),
    ]  # fmt: skip


def _network_and_memory() -> list[Panel]:
    return [
        wide(
            graph(
                "Dropped packets, by stack",
                "The five stacks of kernel functions with most dropped packets. Needs the probe packet_drop_stacks, "
                f"and its README says when functions have names. {HOST_ONLY}",
                "pps",
                {"{{reason}} {{stack}}": _top(5, promql.DROP_STACKS, "reason, stack", "packet_drop_stacks")},
                axis="packets a second",
            ),
        ),
        graph(
            "Dropped packets, by reason and function",
            "The twelve pairs of reason and kernel function with most dropped packets. Needs the probe packet_drops. "
            f"{HOST_ONLY}",
            "pps",
            {"{{reason}} {{function}}": _top(12, promql.PACKET_DROPS, "reason, function", "packet_drops")},
            axis="packets a second",
        ),
        graph(
            "TCP connections that failed, by unit and error",
            "The twelve pairs of unit and error with most failed outgoing connections. Needs the probe tcp.",
            "cps",
            {"{{unit}} {{errno}}": _top(12, promql.TCP_FAILURES, "unit, errno", "tcp")},
            axis="connections a second",
        ),
        graph(
            "TCP segments sent again, by unit",
            "The twelve units with most retransmitted segments. Needs the probe tcp.",
            "cps",
            {"{{unit}}": _top(12, promql.TCP_RETRANSMITS, "unit", "tcp")},
            axis="segments a second",
        ),
        graph(
            "Kills for lack of memory",
            "Victims a second, by unit and program of the victim, and unit that asked for memory. Needs the probe "
            "oom_kills.",
            "cps",
            {"{{unit}} {{comm}}, by {{cause}}": _top(12, promql.OOM_KILLS, "unit, comm, cause", "oom_kills")},
            axis="kills a second",
        ),
    ]  # fmt: skip


def _processes() -> list[Panel]:
    return [
        graph(
            "Signals, by sender, target and signal",
            "The twelve most frequent signals, by the sending and the target program. Needs the probe signals.",
            "cps",
            {"{{comm}} to {{target}}: {{signal}}": _top(12, promql.SIGNALS, "comm, target, signal", "signals")},
            axis="signals a second",
        ),
        graph(
            "Calls of bpf(2), by program and command",
            "The twelve pairs of program and command with most calls. Needs the probe bpf_calls.",
            "cps",
            {"{{comm}} {{command}}": _top(12, promql.BPF_CALLS, "comm, command", "bpf_calls")},
            axis="calls a second",
        ),
    ]  # fmt: skip
