# SPDX-License-Identifier: Apache-2.0
"""How many CPUs the kernel keeps per-CPU values for: the loader sizes fill marks by it, the exporter reads maps."""

from __future__ import annotations

from pathlib import Path


def possible_cpus(root: Path = Path("/")) -> int:
    """Return the highest number that a CPU may have here, plus one. Raises OSError.

    Source: Linux Documentation/admin-guide/cputopology.rst.
    """
    text = (root / "sys/devices/system/cpu/possible").read_text()
    return int(text.strip().split(",")[-1].split("-")[-1]) + 1
