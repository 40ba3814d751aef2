# SPDX-License-Identifier: Apache-2.0
"""The key `metrics` of a declaration: a counter, histogram or gauge, and the rules of its type. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from probed.config.declaration import base_units
from probed.config.declaration.histograms import (
    Buckets,
    NativeOptions,
    bounds_of,
    bucket_faults,
    bucket_unit_faults,
    kernel_bound_faults,
    kernel_bucket_faults,
)
from probed.config.declaration.labels import Label
from probed.config.declaration.scalars import CName, Constant, IdleSeconds, LabelName, SeriesBudget
from probed.frozen import frozen
from probed.ipc.manifest import BUCKET_FIELD, MetricType
from probed.schema.rules import NOT_EMPTY_LIST, Line, repeated
from probed.schema.structure import Fault, Given, Key

SUFFIXES_OF_OTHER_TYPES = ("_total", "_count", "_sum", "_bucket")
"""Suffixes of the sample names of counters and histograms. Source: OpenMetrics 1.0, and promtool's `check metrics`."""


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
