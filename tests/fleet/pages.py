# SPDX-License-Identifier: Apache-2.0
"""Recorded pages of a real daemon, and how they go on: two scrapes a minute apart say how fast each counter rises.

`targets` serves what `Recording.at` makes; `report` asks what is on a page. Nothing here opens a connection.
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
    """A line of a page: its name and labels as text, its value at the first scrape, and its rise in a second."""

    series: str
    first: float
    speed: float
    whole: bool

    @property
    def name(self) -> str:
        """The name of the metric, without labels."""
        return self.series.partition("{")[0]

    def at(self, seconds: float) -> float:
        """Return the value so many seconds after the first scrape; what counts whole things stays whole."""
        value = self.first + self.speed * seconds
        return float(math.floor(value)) if self.whole else value


class Recording:
    """One host's page, and what it says at any later moment. Comments stay where they are."""

    def __init__(self, first: str, second: str) -> None:
        """Take two pages in text format 0.0.4. A series that only the second has began at 0; gauges stay."""
        before = dict(_samples(first))
        gauges = {
            line.split()[2] for line in second.splitlines() if line.startswith("# TYPE") and line.endswith(" gauge")
        }
        self.lines = [
            line if line.startswith("#") else _sample(line, before, gauges) for line in second.splitlines() if line
        ]

    @classmethod
    def load(cls, name: str) -> Recording:
        """Read one of the checked-in recordings."""
        return cls(*(gzip.decompress(path(name, number).read_bytes()).decode() for number in (0, 1)))

    def at(self, seconds: float) -> bytes:
        """Return the page as it is so many seconds after the first scrape."""
        lines = (each if isinstance(each, str) else f"{each.series} {each.at(seconds)}" for each in self.lines)
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def samples(self) -> list[Sample]:
        """Everything on the page that is no comment."""
        return [each for each in self.lines if isinstance(each, Sample)]

    def by_metric(self) -> Counter[str]:
        """Count the samples of each metric."""
        return Counter(sample.name for sample in self.samples)


def path(name: str, number: int) -> Path:
    """Return where a scrape of a recording is kept."""
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
