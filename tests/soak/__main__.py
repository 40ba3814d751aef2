# SPDX-License-Identifier: Apache-2.0
"""Runs the soak, prints its record as a table, and writes the table into README.md on request."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from soak.course import OPENED, SPAWNED, Course, Soak
from soak.samples import KIB, Sample, verdict

README: Final = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- record -->\n", "<!-- end of record -->\n"
ROWS: Final = 12
HOUR: Final = 3600.0

HEAD: Final = (
    "| after | configuration | supervisor: own memory, PSS, fds | exporter: the same | maps, programs | kernel |\n"
    "|---|---|---|---|---|---|\n"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the soak as the command line says; return 1 when something has grown."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=HOUR, help="how long (%(default)g)")
    parser.add_argument("--write", action="store_true", help="write the record into README.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="probed-soak-") as folder:
        course = Soak(Path(folder)).run(options.seconds)
    grown = verdict(course.samples, options.seconds)
    record = recorded(course, options.seconds, grown)
    print(record)
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + record + END + rest.partition(END)[2])
    sys.exit(1 if grown else 0)


def recorded(course: Course, seconds: float, grown: Sequence[str]) -> str:
    """Return the record in Markdown."""
    outcome = "; ".join(grown) or "nothing grew past its bound"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {seconds / 60:g} minutes, Linux {platform.release()}, "
        f"Python {platform.python_version()}: {course.scrapes:,} scrapes, {course.reloads:,} reloads, {course.kills:,} "
        f"SIGKILLs of the exporter; {course.storms * SPAWNED:,} execs and as many lifetimes, "
        f"{course.storms * OPENED:,} failed opens, each counted exactly once; every sum closed on every page; "
        f"{outcome}.\n\n" + HEAD + "".join(map(_row, _chosen(course.samples)))
    )


def _chosen(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return some samples, evenly spread, of both configurations."""
    step = max(1, len(samples) // ROWS) | 1
    return samples[::step]


def _row(sample: Sample) -> str:
    each = (
        f"{one.memory // KIB:,} KiB, {one.proportional // KIB:,} KiB, {one.descriptors}"
        for one in (sample.supervisor, sample.exporter)
    )
    return (
        f"| {sample.second} s | {'AB'[sample.way]} | {' | '.join(each)} | {sample.maps}, {sample.programs} "
        f"| {(sample.kernel_bytes + sample.on_demand_bytes) // KIB:,} KiB |\n"
    )


if __name__ == "__main__":
    main()
