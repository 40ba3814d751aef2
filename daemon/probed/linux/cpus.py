# SPDX-License-Identifier: Apache-2.0
"""Number of possible CPUs: the loader sizes fill marks by this number, the exporter reads per-CPU maps."""

from __future__ import annotations

from pathlib import Path


def possible_cpus(root: Path = Path("/")) -> int:
    """Return the highest possible number of a CPU, plus one. Raises OSError.

    Source: Linux Documentation/admin-guide/cputopology.rst.
    """
    text = (root / "sys/devices/system/cpu/possible").read_text()
    return int(text.strip().split(",")[-1].split("-")[-1]) + 1
