# SPDX-License-Identifier: Apache-2.0
"""A probe's declaration in YAML, and the first of three checks: the rules without the C source and the host.

The loader, `probed check` and `probed list` call `parse`. `overrides` applies a site's changes; `resolve` compares the
result with the C source. The module reads no files and knows nothing of BPF.

Every element has its key path in `at`, so that later checks can point to the line:
``probe.source.problem(metric.at, …)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Literal

from probed.config import base_units
from probed.config.columns import Column, ColumnName
from probed.config.decoders import DecoderName, table_faults
from probed.config.folding.fold_rules import FoldRules
from probed.config.histograms import (
    Buckets,
    NativeOptions,
    bounds_of,
    bucket_faults,
    bucket_numbering,
    bucket_unit_faults,
    kernel_bound_faults,
    kernel_bucket_faults,
)
from probed.config.programs import Program
from probed.config.scalars import (
    CName,
    Constant,
    IdleSeconds,
    LabelName,
    MetricName,
    ProbeName,
    RingSize,
    SeriesBudget,
    Slots,
)
from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.ipc.manifest import BUCKET_FIELD, MetricType, ResolvedColumn
from probed.schema import strict_yaml
from probed.schema.rules import NOT_EMPTY_LIST, NOT_EMPTY_MAPPING, Line, repeated
from probed.schema.structure import Fault, Given, Key, Source, attempt
from probed.schema.suggestions import did_you_mean

SUFFIXES_OF_OTHER_TYPES = ("_total", "_count", "_sum", "_bucket")
"""Suffixes of the sample names of counters and histograms. Source: OpenMetrics 1.0, and promtool's `check metrics`."""


@frozen
class RingOptions:
    """The ring buffer of the probe's 'struct event'."""

    at: Given[Key]
    bytes: Annotated[RingSize, "The size: a power of two from 4 KiB to 1 GiB, such as 1 MiB."]
    slots: Annotated[
        Slots, "Label sets that each CPU counts by itself, for a 'struct event' that begins with WEIGHT; 0: none."
    ] = 0


@frozen
class Label:
    """One label of a metric: a field of the C source, and the decoder of its text."""

    at: Given[Key]
    field: Annotated[CName, "The field of 'struct event', or of the maps' key ('key' for a scalar key)."]
    decoder: Annotated[
        DecoderName,
        "The decoder of the text. comm, string, dname and map need a char[N], ip a u32 or a char[16], kernel_stack a "
        "u64[N], others an integer.",
    ]
    table: Annotated[
        Mapping[Constant, Line],
        "For the decoder enum: enum constant of the C, or integer, to text.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    enum: Annotated[
        CName | None, "For the decoder kernel_enum: the name of the kernel's enum, such as skb_drop_reason."
    ] = None
    texts: Annotated[
        Mapping[str, Line],
        "For the decoder map: text of the field to text of the label; several may have the same.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    fold: Annotated[
        FoldRules,
        "Rules for the text. The first match counts; a site's rules precede.",
        NOT_EMPTY_LIST,
    ] = ()

    def check(self) -> Iterator[Fault]:
        """Yield arguments of another decoder, and table entries with the same text."""
        yield from table_faults(self.decoder, self.table)
        if self.decoder == "kernel_enum" and self.enum is None:
            yield ("enum",), "decoder 'kernel_enum' needs the kernel's enum, such as 'enum: skb_drop_reason'"
        if self.decoder != "kernel_enum" and self.enum is not None:
            yield ("enum",), f"only decoder 'kernel_enum' has an enum; remove it, or the decoder '{self.decoder}'"
        if self.decoder == "map" and not self.texts:
            yield ("texts",), "decoder 'map' needs texts: {TEXT: text, …}"
        if self.decoder != "map" and self.texts:
            yield ("texts",), f"only decoder 'map' has texts; remove them, or the decoder '{self.decoder}'"


@frozen
class Metric:
    """One metric of a probe; the key in the declaration is the name."""

    at: Given[Key]
    type: Annotated[
        MetricType,
        "A counter counts; a histogram sorts a field's values into buckets; a gauge shows values of kernel maps or the "
        "rows of iterators.",
    ]
    help: Annotated[Line, "The metric's meaning, in one line."]
    when: Annotated[
        Mapping[CName, Constant],
        "Count only events, or rows, whose fields all have these values: field to enum constant of the C, or integer.",
    ] = dataclasses.field(default_factory=dict)
    value: Annotated[
        CName | None,
        "For a histogram without maps: the observed field; its name ends in the unit, if the metric has one. "
        "For a gauge whose maps hold structs: the shown member. For a gauge of rows: the member to add up.",
    ] = None
    buckets: Annotated[
        Buckets,
        "For a histogram: the buckets' upper bounds in base units (seconds, bytes) or numbers, ascending; or a rule, "
        "such as {exponential: {first: 1us, factor: 2, count: 27}}.",
    ] = ()
    native: Annotated[
        NativeOptions | None, "For a histogram: the native form, beside the buckets or instead of them."
    ] = None
    maps: Annotated[
        tuple[CName, ...],
        "The kernel maps whose values the metric adds up: counts for a counter, buckets for a histogram, instead of "
        "events of the ring; present values for a gauge.",
        NOT_EMPTY_LIST,
    ] = ()
    rows: Annotated[
        tuple[CName, ...],
        "For a gauge, instead of maps: the programs at iterators whose rows (struct row) the metric counts, or whose "
        "member 'value' it adds up.",
        NOT_EMPTY_LIST,
    ] = ()
    labels: Annotated[Mapping[LabelName, Label], "The labels, in this order."] = dataclasses.field(default_factory=dict)
    series: Annotated[
        SeriesBudget | None, "Limit of the metric's series, instead of the site's budget; the others become 'other'."
    ] = None
    idle_seconds: Annotated[
        IdleSeconds | None,
        "Seconds without events after which a series leaves, instead of the site's; a gauge has none.",
    ] = None

    @property
    def name(self) -> str:
        """The metric's name."""
        return str(self.at[-1])

    def check(self) -> Iterator[Fault]:
        """Yield names and keys that the metric's type forbids or requires."""
        if self.type == "counter":
            yield from self._counter_faults()
        elif self.type == "gauge":
            yield from self._gauge_faults()
        else:
            yield from self._histogram_faults()
        if self.maps and self.when:
            yield (
                ("when",),
                "maps hold sums, not events to choose from; remove 'when', or 'maps' to count events",
            )
        for index, name in repeated(self.rows):
            yield ("rows", index), f"program '{name}' is there twice, and its rows would be counted twice; remove one"
        if self.rows and self.type != "gauge":
            text = "rows of an iterator show what is there now, and nothing that a counter or histogram could add to"
            yield ("rows",), f"{text}; make the metric a gauge"
        for index, name in repeated(self.maps):
            yield ("maps", index), f"map '{name}' is there twice, and its counts would be added twice; remove one"

    def _counter_faults(self) -> Iterator[Fault]:
        if not self.name.endswith("_total"):
            yield (), f"a counter's name ends in '_total'; call it '{self.name}_total'"
        for name, text in (("value", "value"), ("buckets", "buckets"), ("native", "native form")):
            if getattr(self, name):
                yield (name,), f"a counter has no {text}; remove it, or make the metric a histogram"
        if self.base_unit:
            yield from _unit_faults(self)

    def _gauge_faults(self) -> Iterator[Fault]:
        yield from self._suffix_faults()
        if self.maps and self.rows:
            yield ("rows",), "a gauge shows what maps hold, or counts the rows of iterators; remove 'rows' or 'maps'"
        if not self.maps and not self.rows:
            text = "a gauge shows what kernel maps hold, and events of the ring leave nothing to show"
            yield ("maps",), f"{text}; add 'maps: [NAME]' or 'rows: [PROGRAM]', or make the metric a counter"
        if self.rows and self.base_unit and not self.value:
            text = f"the number of rows is in no unit, but the metric's name ends in '_{self.base_unit}'"
            yield ("value",), f"{text}; add 'value: MEMBER', or take another name"
        if self.buckets:
            yield ("buckets",), "a gauge has no buckets; remove them, or make the metric a histogram"
        if self.native:
            yield ("native",), "a gauge has no native form; remove it, or make the metric a histogram"
        if self.idle_seconds is not None:
            yield ("idle_seconds",), "a gauge's series leaves with its map entry or row; remove 'idle_seconds'"
        yield from _unit_faults(self)

    def _suffix_faults(self) -> Iterator[Fault]:
        """Yield the end of a sample's name at the end of a gauge's or a histogram's."""
        suffix = next((suffix for suffix in SUFFIXES_OF_OTHER_TYPES if self.name.endswith(suffix)), None)
        if suffix:
            yield (), f"a {self.type}'s name does not end in '{suffix}'; call it '{self.name.removesuffix(suffix)}'"

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds of a histogram's classic buckets in base units."""
        return bounds_of(self.buckets)

    @property
    def base_unit(self) -> base_units.BaseUnit | None:
        """The base unit at the end of the name, before a counter's `_total`."""
        return base_units.base_unit_of(self.name.removesuffix("_total"))

    @property
    def factor(self) -> float:
        """Base units of the metric in one unit of `value`, or of the maps' plain integers."""
        if not self.base_unit or not (self.maps or self.value):
            return 1.0
        return base_units.unit_of(self.value or self.maps[0]).factor

    def _histogram_faults(self) -> Iterator[Fault]:
        yield from self._suffix_faults()
        if self.maps:
            yield from self._kernel_histogram_faults()
        elif self.value is None:
            yield ("value",), "a histogram needs 'value': the observed field"
        else:
            yield from _unit_faults(self)
        if not self.buckets and not self.native:
            yield (
                ("buckets",),
                "a histogram needs buckets: upper bounds in base units, such as [0.001, 0.01, 0.1, 1], or "
                "'native: {factor: 1.1}'",
            )
        yield from bucket_faults(self.buckets)
        yield from bucket_unit_faults(self.buckets, self.base_unit)

    def _kernel_histogram_faults(self) -> Iterator[Fault]:
        """Yield the faults of a histogram whose buckets are in kernel maps."""
        if self.value:
            text = "maps hold buckets, and the end of a map's name is the unit, as 'wait_ns'"
            yield ("value",), f"{text}; remove 'value', or 'maps' to observe events"
        else:
            yield from _unit_faults(self)
        if self.native:
            text = "maps hold the counts of classic buckets, and the native form needs single values"
            yield ("native",), f"{text}; remove 'native', or 'maps' to observe events"
        yield from kernel_bucket_faults(self.buckets)
        if not self.base_unit:
            yield from kernel_bound_faults(self.buckets, 1.0, self.maps[0])
        elif unit := base_units.known_unit_of(self.maps[0]):
            yield from kernel_bound_faults(self.buckets, unit.factor, self.maps[0])
        for name, label in self.labels.items():
            if label.field == BUCKET_FIELD:
                text = f"'{BUCKET_FIELD}' has the number of the bucket, which the page shows as 'le'"
                yield ("labels", name, "field"), f"{text}; remove the label, or take another field"


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
def parse(text: str, path: str, name: str) -> Probe:
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


def enum_constants(probe: Probe) -> dict[str, tuple[str, int]]:
    """List the C constants in `when` and tables, each with file and line of the first use."""
    constants: dict[str, tuple[str, int]] = {}
    for at, constant in _named_constants(probe):
        if isinstance(constant, str):
            source = probe.source_of(at)
            constants.setdefault(constant, (source.path, source.line(at)))
    return constants


def _named_constants(probe: Probe) -> Iterator[tuple[Key, str | int]]:
    for metric in probe.metrics.values():
        yield from (((*metric.at, "when", name), value) for name, value in metric.when.items())
        for label in metric.labels.values():
            yield from (((*label.at, "table", constant), constant) for constant in label.table)
    for column in probe.columns.values():
        yield from (((*column.at, "table", constant), constant) for constant in column.table)


def bucket_macros(probe: Probe) -> dict[str, str]:
    """Return the macros by which the C numbers the buckets of histograms in kernel maps."""
    return {
        f"{name}_{each}": f"{int(number)}UL"
        for metric in probe.metrics.values()
        if metric.type == "histogram" and metric.maps
        for each in metric.maps
        for name, number in bucket_numbering(metric.buckets, metric.factor).items()
    }


def kernel_enums(probe: Probe) -> dict[str, list[Key]]:
    """List the kernel's enums that labels name, each with the key paths of the labels."""
    named: dict[str, list[Key]] = {}
    for metric in probe.metrics.values():
        for label in metric.labels.values():
            if label.enum is not None:
                named.setdefault(label.enum, []).append((*label.at, "enum"))
    return named


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


def _unit_faults(metric: Metric) -> Iterator[Fault]:
    """Yield the observed field, or maps or the member of their values, with another unit than the metric's name."""
    base = metric.base_unit
    kind: Literal["field", "map"] = "field" if metric.value else "map"
    factors: dict[float, str] = {}
    for index, name in enumerate((metric.value,) if metric.value else metric.maps):
        at = ("value",) if metric.value else ("maps", index)
        if base is None and not base_units.says_unit(name):
            continue
        try:
            unit = base_units.unit_of(name, kind)
        except ValueError as error:
            yield at, str(error)
            continue
        if unit.base != base:
            yield at, f"{kind} '{name}' is in {unit.base}; end the metric's name in '_{unit.base}', or take another"
        elif len({*factors, unit.factor}) > 1:
            first = next(iter(factors.values()))
            yield at, f"map '{name}' has another unit than map '{first}'; give them one, for their values are added up"
        factors.setdefault(unit.factor, name)


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
