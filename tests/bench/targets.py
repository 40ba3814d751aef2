# SPDX-License-Identifier: Apache-2.0
"""Compares the figures with ebpf_exporter's and with our targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.figures import Figure, aligned, number


@dataclass(frozen=True, slots=True)
class Target:
    """A target: `most` of a figure, and `peer`, ebpf_exporter 2.5's figure on a machine of this kind, or None.

    There a getppid without any program took 166 ns, a failing open 1,027 ns and a spawn 522 µs.
    """

    about: str
    peer: float | None
    most: float


TARGETS: Final = (
    Target("getppid, probe syscalls", 126, 110),
    Target("getppid, all probes", 151, 120),
    Target("failing open, probe open_failures", 284, 200),
    Target("failing open, all probes", 346, 260),
    Target("failing open, what the label unit adds", None, 30),
    Target("open and close, what the label unit adds", None, 30),
    Target("spawn, all probes", 38, 15),
    Target("drain, 1,000 label sets, 65,536 waiting", None, 60),
    Target("lost of them", None, 0),
    Target("idle, no scrape", 0.006, 0.006),
    Target("memory after start", 44, 40),
    Target("start, first good scrape", 131, 600),
)
SCRAPE: Final = Target("scrape of 2,5", 5.1, 2.5)
"""The page of some 2,500 series, the daemon's own included."""


def table(figures: Iterable[Figure]) -> str:
    """Return lines for a terminal; "no" marks a missed target."""
    by_name = {each.about: each for each in figures}
    rows = [("", "measured", "", "target", "ebpf_exporter", "met")]
    for target, figure in _pairs(by_name):
        peer = number(target.peer) if target.peer is not None else "-"
        met = "yes" if figure.value <= target.most else "no"
        rows.append((figure.about, number(figure.value), figure.unit, number(target.most), peer, met))
    return aligned(rows)


def _pairs(figures: dict[str, Figure]) -> Iterator[tuple[Target, Figure]]:
    for target in TARGETS:
        if target.about in figures:
            yield target, figures[target.about]
    for name, figure in figures.items():
        if name.startswith(SCRAPE.about) and name.endswith("text, identity"):
            yield SCRAPE, figure
