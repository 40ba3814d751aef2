# SPDX-License-Identifier: Apache-2.0
"""The tables of deploy/fleet.md: recorded pages, measurements of a simulation, and the extrapolation.

Pure: `__main__` passes the data, and puts the text between the two marks of the file.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping, Sequence

from fleet import formats
from fleet.pages import Recording
from fleet.recorded import Cut
from fleet.simulation import Measured, Query, slope
from probed.exporter.exposition.family import Family
from probed.exporter.exposition.negotiation import compress

REAL_INTERVAL = 15
"""The recommended scrape interval in seconds, assumed by the extrapolation."""

RENDERED = 15
"""Times that a page is rendered for its CPU time."""

Row = Sequence[object]


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a table in Markdown, numbers to the right."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    lines.insert(1, "|---" + "|---:" * (len(head) - 1) + "|")
    return "\n".join(lines)


def pages(recordings: Mapping[str, Recording]) -> str:
    """Describe one scrape of each recording."""
    names = list(recordings)
    bodies = [recording.at(0) for recording in recordings.values()]
    counts = [recording.by_metric() for recording in recordings.values()]
    metrics = sorted(set().union(*counts), key=lambda metric: -max(count[metric] for count in counts))
    shown = [metric for metric in metrics if max(count[metric] for count in counts) >= 100]
    rows: list[Row] = [
        ["samples a scrape", *(f"**{count.total():,}**" for count in counts)],
        ["bytes", *(f"{len(body):,}" for body in bodies)],
        ["bytes with gzip, as Prometheus asks", *(f"{len(gzip.compress(body, 6)):,}" for body in bodies)],
        *([f"`{metric}`", *(f"{count[metric]:,}" for count in counts)] for metric in shown),
        ["all other metrics", *(f"{count.total() - sum(count[each] for each in shown):,}" for count in counts)],
    ]
    less = {
        "without buckets of lifetimes": lambda sample: sample.name != "probed_process_lifetime_seconds_bucket",
        "without anything of lifetimes": lambda sample: not sample.name.startswith("probed_process_lifetime_seconds"),
    }
    for what, keep in less.items():
        rows.append([what, *(f"{sum(map(keep, recording.samples)):,}" for recording in recordings.values())])
    return table(["one scrape", *names], rows)


def in_formats(recordings: Mapping[str, Recording]) -> str:
    """Compare one scrape of each recording by format and form of the histograms."""
    rows: list[Row] = []
    made = {name: formats.families(recording.at(0).decode()) for name, recording in recordings.items()}
    for format_name, form, convert, render in formats.VARIANTS:
        pages = [convert(families) for families in made.values()]
        bodies = [render(page) for page in pages]
        about = f"{format_name}, {form}"
        rows += [
            [f"{about}: series", *(f"{formats.series(page, format_name):,}" for page in pages)],
            [f"{about}: bytes", *(f"{len(body):,}" for body in bodies)],
            [f"{about}: bytes with gzip", *(f"{len(compress(body)):,}" for body in bodies)],
            [f"{about}: CPU time, ms", *(f"{_cpu_ms(render, page):.1f}" for page in pages)],
        ]
    return table(["one scrape", *made], rows)


def _cpu_ms(render: Callable[[list[Family]], bytes], page: list[Family]) -> float:
    """Return the least CPU time of rendering and compressing a page, after the first time."""
    times = []
    for _ in range(RENDERED):
        begin = time.process_time()
        compress(render(page))
        times.append(time.process_time() - begin)
    return min(times) * 1e3


def _mega(value: float) -> str:
    return f"{value / 1e6:,.0f}"


def _milli(value: float) -> str:
    return f"{value * 1e3:,.0f}" if value >= 0.01 else f"{value * 1e3:.1f}"


COLUMNS: Sequence[tuple[str, Callable[[Measured], str]]] = (
    ("series in memory", lambda each: f"{each.series:,}"),
    ("samples a second", lambda each: f"{each.samples_per_second:,.0f}"),
    ("memory (RSS), MB", lambda each: _mega(each.resident_bytes)),
    ("heap in use, MB", lambda each: _mega(each.heap_bytes)),
    ("on disk, MB", lambda each: _mega(each.disk_bytes)),
    ("cores", lambda each: f"{each.cores:.2f}"),
    ("targets down", lambda each: f"{each.targets_down}"),
)


def growth(measured: Sequence[Measured]) -> str:
    """Describe the growth with the number of hosts."""
    rows = [[name, *(show(each) for each in measured)] for name, show in COLUMNS]
    return table(["hosts", *(f"{each.hosts:,}" for each in measured)], rows)


def queries(measured: Sequence[Measured], asked: Sequence[Query]) -> str:
    """Describe the time of each query."""
    rows = [[query.name, *(_milli(each.query_seconds[query.name]) for each in measured)] for query in asked]
    return table(["milliseconds, with hosts:", *(f"{each.hosts:,}" for each in measured)], rows)


def extrapolation(measured: Sequence[Measured], interval: float, fleets: Sequence[int]) -> str:
    """Describe the cost of whole fleets, by a straight line through the measurements."""
    series, _ = slope(measured, lambda each: each.series)
    memory, fixed = slope(measured, lambda each: each.resident_bytes)
    samples, _ = slope(measured, lambda each: each.samples_per_second * interval / REAL_INTERVAL)
    rows: list[Row] = [
        ["series scraped", *(f"{hosts * series:,.0f}" for hosts in fleets)],
        [f"samples a second at {REAL_INTERVAL} s", *(f"{hosts * samples:,.0f}" for hosts in fleets)],
        ["memory of Prometheus, GB", *(f"{(fixed + hosts * memory) / 1e9:,.1f}" for hosts in fleets)],
        ["disk a day at 1.5 bytes a sample, GB", *(f"{hosts * samples * 86400 * 1.5 / 1e9:,.0f}" for hosts in fleets)],
    ]
    return table(["hosts", *(f"{hosts:,}" for hosts in fleets)], rows)


def per_host(measured: Sequence[Measured]) -> str:
    """Describe the cost of a host and of a series in a sentence."""
    series, _ = slope(measured, lambda each: each.series)
    memory, _ = slope(measured, lambda each: each.resident_bytes)
    return f"A host adds {series:,.0f} series and {memory / 1e6:.1f} MB: {memory / series / 1e3:.1f} kB a series."


def cut(hosts: int, made: Cut) -> str:
    """Describe recorded series, their delay and the saved query time, by kind of host."""

    def share(kind: str) -> str:
        return f"{made.recorded[kind] / made.scraped[kind]:.0%}"

    rows: list[Row] = [
        ["series scraped", *(f"{made.scraped[kind]:,}" for kind in made.scraped)],
        ["series recorded by all rules", *(f"{made.recorded[kind]:,}" for kind in made.scraped)],
        ["… as a share", *map(share, made.scraped)],
        ["series recorded at the level `unit:`", *(f"{made.of_units[kind]:,}" for kind in made.scraped)],
    ]
    asked = [[name, _milli(first), _milli(second)] for name, (first, second) in made.queries.items()]
    return "\n\n".join(
        [
            table(["of one host", *made.scraped], rows),
            f"All rules and alerts once, for {hosts} such hosts: {_milli(made.rules_seconds)} ms.",
            table([f"milliseconds, with {hosts} such hosts", "from scraped series", "from recorded ones"], asked),
        ]
    )


def between(text: str, mark: str, new: str) -> str:
    """Replace the text between ``<!-- MARK -->`` and ``<!-- end of MARK -->``. Raises ValueError without the marks."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    before, after = text.index(begin) + len(begin), text.index(end)
    return f"{text[:before]}\n{new}\n\n{text[after:]}"
