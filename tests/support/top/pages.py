# SPDX-License-Identifier: Apache-2.0
"""Pages of an imaginary daemon in OpenMetrics, for `probed top`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

START: Final = 1_763_000_000.5
"""Start timestamp of all series, in seconds since the epoch."""
BUILD: Final = 'probed_build_info{version="0"}'
_SUFFIXES: Final = ("_total", "_count")


def page(counts: Mapping[str, float], start: float | None = START) -> str:
    """Return a page with values by series, and the same start timestamp for every counter and histogram."""
    lines = [f"{series} {value}" for series, value in {BUILD: 1.0, **counts}.items()]
    if start is not None:
        lines += [f"{created} {start}" for created in filter(None, map(_created, counts))]
    return "\n".join([*lines, "# EOF", ""])


def _created(series: str) -> str:
    name, brace, labels = series.partition("{")
    family = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), "")
    return f"{family}_created{brace}{labels}" if family else ""


def series(name: str, **labels: str) -> str:
    """Return a series as a page has it."""
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in sorted(labels.items()))
    return f"{name}{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def lives(total: float, short: float, **labels: str) -> dict[str, float]:
    """Return a histogram of lives: `short` of them end within a second."""
    name = "probed_process_lifetime_seconds"
    buckets = {"0.5": short / 2, "1.0": short, "60.0": total, "+Inf": total}
    found = {series(f"{name}_bucket", le=bound, **labels): count for bound, count in buckets.items()}
    return {**found, series(f"{name}_count", **labels): total}
