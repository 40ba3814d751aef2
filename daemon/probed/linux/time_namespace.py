# SPDX-License-Identifier: Apache-2.0
"""Offsets of the time namespace: BPF programs read the host's clocks, processes and /proc show shifted ones."""

from __future__ import annotations


def clock_offset(clock: str, root: str = "/") -> int:
    """Return the nanoseconds that this process's time namespace adds to a clock, "monotonic" or "boottime".

    0 on a kernel without time namespaces. The file describes the namespace of future children, which is this process's
    own from the next fork on. Raises OSError. Source: time_namespaces(7).
    """
    try:
        with open(f"{root}/proc/self/timens_offsets", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        return 0
    return {name: int(seconds) * 10**9 + int(rest) for name, seconds, rest in lines}.get(clock, 0)
