# SPDX-License-Identifier: Apache-2.0
"""A probe's declaration in YAML, and the first of three checks: the rules without the C source and the host.

The loader, `probed check` and `probed list` call `parse_declaration`. `overrides` applies a site's changes; `resolve`
compares the result with the C source. The module reads no files and knows nothing of BPF.

Every element has its key path in `at`, so that later checks can point to the line:
``probe.source.problem(metric.at, …)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated

from probed.config.declaration.columns import Column, ColumnName
from probed.config.declaration.histograms import bucket_numbering
from probed.config.declaration.metrics import Metric
from probed.config.declaration.programs import Program
from probed.config.declaration.scalars import CName, MetricName, ProbeName, RingSize, Slots
from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.ipc.manifest import ResolvedColumn
from probed.schema import strict_yaml
from probed.schema.rules import NOT_EMPTY_MAPPING, Line
from probed.schema.structure import Fault, Given, Key, Source, attempt
from probed.schema.suggestions import did_you_mean


@frozen
class RingOptions:
    """The ring buffer of the probe's 'struct event'."""

    at: Given[Key]
    bytes: Annotated[RingSize, "The size: a power of two from 4 KiB to 1 GiB, such as 1 MiB."]
    slots: Annotated[
        Slots, "Label sets that each CPU counts by itself, for a 'struct event' that begins with WEIGHT; 0: none."
    ] = 0


@frozen
class Probe:
    """A probe: its programs in the kernel, and its metrics; or the columns of a trace probe."""

    name: Given[str]
    source: Given[Source]
    description: Annotated[Line, "The probe's purpose, in one line."]
    programs: Annotated[
        Mapping[CName, Program], "The BPF functions of the C source, each with an attach point.", NOT_EMPTY_MAPPING
    ]
    metrics: Annotated[Mapping[MetricName, Metric], "The metrics, by name.", NOT_EMPTY_MAPPING] = dataclasses.field(
        default_factory=dict
    )
    columns: Annotated[
        Mapping[ColumnName, Column],
        "Instead of metrics, for a trace probe: the columns of `probed tail`, by name and in this order.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    ring: Annotated[
        RingOptions | None, "The ring buffer of 'struct event' of the C source; a probe with maps alone needs none."
    ] = None
    site: Given[Source | None] = None

    def source_of(self, at: Key) -> Source:
        """Return the file of an element: the site configuration for an element that a site has added."""
        return self.site if self.site is not None and at[:1] == ("probes",) else self.source

    @property
    def has_rows(self) -> bool:
        """Whether programs at iterators emit rows, by the C's 'struct row'."""
        return any(program.iterator is not None for program in self.programs.values())

    @property
    def resolved_columns(self) -> tuple[ResolvedColumn, ...]:
        """The columns of a trace probe, as the manifest has them."""
        return tuple(ResolvedColumn(name, each.field, each.decoder, each.width) for name, each in self.columns.items())

    def check(self) -> Iterator[Fault]:
        """Yield the faults between elements of the probe."""
        yield from self._kind_faults()
        for name, metric in self.metrics.items():
            if not metric.maps and self.ring is None and metric.type != "gauge":
                yield (
                    ("metrics", name),
                    (
                        "the metric counts events, but the probe has no ring; "
                        "add 'ring: {bytes: 1 MiB}' to the probe, or 'maps' to the metric"
                    ),
                )
        yield from self._row_faults()
        yield from _shared_map_faults(self.metrics)
        yield from _shared_bucket_faults(self.metrics)

    def _row_faults(self) -> Iterator[Fault]:
        """Yield rows of programs that emit none, and rows that no gauge reads."""
        iterators = [name for name, program in self.programs.items() if program.iterator is not None]
        for metric in self.metrics.values():
            for index, name in enumerate(metric.rows):
                is_broken = name not in self.programs and ("programs", name) in self.source.lines
                if name not in iterators and not is_broken:
                    text = f"no program '{name}' is at an iterator (there: {', '.join(iterators) or 'none'})"
                    yield ("metrics", metric.name, "rows", index), text + did_you_mean(name, iterators)
        read = {name for metric in self.metrics.values() for name in metric.rows}
        for name in iterators:
            if name not in read:
                yield ("programs", name), f"no gauge reads the rows of the program; add one with 'rows: [{name}]'"

    def _kind_faults(self) -> Iterator[Fault]:
        """Yield keys that a probe with metrics, or a trace probe, forbids or requires."""
        if not {("metrics",), ("columns",)} & self.source.lines.keys():
            yield ("metrics",), "expected 'metrics', or 'columns' for a trace probe; found neither"
        if self.metrics and self.columns:
            yield ("columns",), "a trace probe has no metrics; remove 'columns' or 'metrics', or make two probes"
        if self.columns and self.ring is None:
            yield ("columns",), "a trace probe sends each event through a ring; add 'ring: {bytes: 1 MiB}'"
        if self.columns and self.ring is not None and self.ring.slots:
            yield ("ring", "slots"), "events of a trace probe have no weight; remove 'slots'"


@frozen
class _Named:
    name: ProbeName


@lru_cache(maxsize=64)
def parse_declaration(text: str, path: str, name: str) -> Probe:
    """Parse the declaration of the probe `name`, which is the name of folder and file; the loader does so twice.

    `path` is the file as the user named it. Raises DeclarationError with every Problem of the first check.
    """
    problems = attempt(_Named, {"name": name}, Source(path, {(): 1}))[1]
    problems = [Problem(path, 1, "", f"the name of folder and file: {problem.text}") for problem in problems]
    try:
        probe = strict_yaml.parse(Probe, text, path, name=name)
        problems += check_together([probe])
    except DeclarationError as error:
        raise DeclarationError([*problems, *error.problems]) from error
    if problems:
        raise DeclarationError(problems)
    return probe


def check_together(probes: Iterable[Probe]) -> list[Problem]:
    """Find metrics of one name in probes that run together; each Problem belongs to the later probe.

    A counter's name counts without ``_total``, as in OpenMetrics: ``probed_x_seconds_total`` and a histogram
    ``probed_x_seconds`` would be one family. Source: OpenMetrics 1.0, "Counter".
    """
    first: dict[str, tuple[Probe, Metric]] = {}
    problems = []
    for probe in probes:
        for metric in probe.metrics.values():
            other_probe, other = first.setdefault(metric.name.removesuffix("_total"), (probe, metric))
            if other is not metric:
                where = f"{other_probe.source.path}:{other_probe.source.line(other.at)}"
                text = f"metric '{other.name}' of probe '{other_probe.name}' ({where}) has this name"
                problems.append(probe.source.problem(metric.at, f"{text}; choose another"))
    return problems


def _shared_map_faults(metrics: Mapping[str, Metric]) -> Iterator[Fault]:
    """Find maps that both a gauge and a counter or histogram read."""
    counted = {name: metric for metric in metrics.values() if metric.type != "gauge" for name in metric.maps}
    for metric in metrics.values():
        for index, name in enumerate(metric.maps if metric.type == "gauge" else ()):
            if other := counted.get(name):
                text = f"{other.type} '{other.name}' reads map '{name}' too; a map holds counts or values"
                yield ("metrics", metric.name, "maps", index), f"{text}: give the gauge a map of its own"


def _shared_bucket_faults(metrics: Mapping[str, Metric]) -> Iterator[Fault]:
    """Find maps that two histograms read with other numbers of buckets."""
    first: dict[str, Metric] = {}
    for metric in (each for each in metrics.values() if each.type == "histogram"):
        for index, name in enumerate(metric.maps):
            other = first.setdefault(name, metric)
            if _numbering(other) != _numbering(metric):
                text = f"histogram '{other.name}' reads map '{name}' with other buckets"
                yield ("metrics", metric.name, "maps", index), f"{text}; give both the same, or each a map of its own"


def _numbering(metric: Metric) -> object:
    """Return the part of the buckets that decides a value's number: a rule without `count`, or a list."""
    return bucket_numbering(metric.buckets, 1.0) or metric.bounds
