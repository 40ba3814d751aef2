# SPDX-License-Identifier: Apache-2.0
"""Compares the figures with our targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.figures import Figure, aligned, number


@dataclass(frozen=True, slots=True)
class Target:
    """A target: `most` of a figure."""

    about: str
    most: float


TARGETS: Final = (
    Target("getppid, probe syscalls", 110),
    Target("getppid, all probes", 120),
    Target("failing open, probe open_failures", 200),
    Target("failing open, all probes", 260),
    Target("failing open, what the label unit adds", 30),
    Target("open and close, what the label unit adds", 30),
    Target("spawn, all probes", 15),
    Target("drain, 1,000 label sets, 65,536 waiting", 60),
    Target("lost of them", 0),
    Target("idle, no scrape", 0.006),
    Target("memory after start", 40),
    Target("start, first good scrape", 600),
    Target("start with objects, first good scrape", 200),
    Target("peak memory of the loader with objects", 30),
)
SCRAPE: Final = Target("scrape of 2,5", 2.5)
"""The page of some 2,500 series, the daemon's own included."""


def table(figures: Iterable[Figure]) -> str:
    """Return lines for a terminal; "no" marks a missed target."""
    by_name = {each.about: each for each in figures}
    rows = [("", "measured", "", "target", "met")]
    for target, figure in _pairs(by_name):
        met = "yes" if figure.value <= target.most else "no"
        rows.append((figure.about, number(figure.value), figure.unit, number(target.most), met))
    return aligned(rows)


def _pairs(figures: dict[str, Figure]) -> Iterator[tuple[Target, Figure]]:
    for target in TARGETS:
        if target.about in figures:
            yield target, figures[target.about]
    for name, figure in figures.items():
        if name.startswith(SCRAPE.about) and name.endswith("text, identity"):
            yield SCRAPE, figure
