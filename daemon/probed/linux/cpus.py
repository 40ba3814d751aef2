# SPDX-License-Identifier: Apache-2.0
"""Numbers of CPUs: the loader sizes fill marks and opens perf events, the exporter reads per-CPU maps."""

from __future__ import annotations

from pathlib import Path


def possible_cpus(root: Path = Path("/")) -> int:
    """Return the highest possible number of a CPU, plus one. Raises OSError.

    Source: Linux Documentation/admin-guide/cputopology.rst.
    """
    text = (root / "sys/devices/system/cpu/possible").read_text()
    return int(text.strip().split(",")[-1].split("-")[-1]) + 1


def online_cpus(root: Path = Path("/")) -> list[int]:
    """Return the numbers of the CPUs that run now. Raises OSError."""
    text = (root / "sys/devices/system/cpu/online").read_text()
    ranges = [part.partition("-") for part in text.strip().split(",")]
    return [number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)]
