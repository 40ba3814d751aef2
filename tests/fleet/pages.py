# SPDX-License-Identifier: Apache-2.0
"""Recorded pages of a real daemon, extrapolated: two scrapes a minute apart give each counter's rate.

`targets` serves the pages of `Recording.at`; `report` counts their samples. No function opens a connection.
"""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "pages"
KINDS = ("idle", "services", "busy")
APART = 60.0
"""Seconds between the two scrapes of a recording."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: name and labels as text, the value at the first scrape, and the rise in a second."""

    series: str
    first: float
    speed: float
    whole: bool

    @property
    def name(self) -> str:
        """The name of the metric, without labels."""
        return self.series.partition("{")[0]

    def at(self, seconds: float) -> float:
        """Return the value `seconds` after the first scrape; integers stay integers."""
        value = self.first + self.speed * seconds
        return float(math.floor(value)) if self.whole else value


class Recording:
    """One host's page at any later moment. Comments stay in place."""

    def __init__(self, first: str, second: str) -> None:
        """Take two pages in text format 0.0.4. A series only in the second began at 0; gauges stay."""
        before = dict(_samples(first))
        gauges = {
            line.split()[2] for line in second.splitlines() if line.startswith("# TYPE") and line.endswith(" gauge")
        }
        self.lines = [
            line if line.startswith("#") else _sample(line, before, gauges) for line in second.splitlines() if line
        ]

    @classmethod
    def load(cls, name: str) -> Recording:
        """Read a checked-in recording."""
        return cls(*(gzip.decompress(path(name, number).read_bytes()).decode() for number in (0, 1)))

    def at(self, seconds: float) -> bytes:
        """Return the page `seconds` after the first scrape."""
        lines = (each if isinstance(each, str) else f"{each.series} {each.at(seconds)}" for each in self.lines)
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def samples(self) -> list[Sample]:
        """All samples of the page."""
        return [each for each in self.lines if isinstance(each, Sample)]

    def by_metric(self) -> Counter[str]:
        """Count the samples of each metric."""
        return Counter(sample.name for sample in self.samples)


def path(name: str, number: int) -> Path:
    """Return the path of a recording's scrape."""
    return FOLDER / f"{name}-{number}.prom.gz"


def _samples(page: str) -> Iterator[tuple[str, float]]:
    for line in page.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            yield series, float(value)


def _sample(line: str, before: dict[str, float], gauges: set[str]) -> Sample:
    ((series, second),) = _samples(line)
    if series.partition("{")[0] in gauges:
        return Sample(series, second, 0.0, whole=False)
    first = before.get(series, 0.0)
    return Sample(series, first, max(0.0, second - first) / APART, first.is_integer() and second.is_integer())
