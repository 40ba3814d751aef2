# SPDX-License-Identifier: Apache-2.0
"""Checks a declaration against the C, the second of three checks, and resolves the metrics.

The loader calls it with the facts of the compiled C; the module gathers none. After `resolve` no process needs
the declaration: enum constants are numbers, units are factors. Problems point at the YAML.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from probed.config.declaration.columns import COLUMN_DECODERS, Column
from probed.config.declaration.labels import Label
from probed.config.declaration.metrics import Metric
from probed.config.declaration.probe import Probe
from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.ipc import manifest
from probed.ipc.manifest import WEIGHT_FIELDS, Field, Map, Record, without_weight
from probed.loader.c_types import SCALAR, Layout, c_type, listed, range_of, value_type
from probed.schema.structure import Key
from probed.schema.suggestions import did_you_mean

BUCKET_STRUCT: Final = "histogram_bucket"
"""The C's name of the value of a map of buckets."""


@frozen
class CFacts:
    """The C of a probe.

    `event` and `row` are the layouts of ``struct event`` and ``struct row`` (None where there is none), `maps` the
    kernel maps that hold u64 counts and those that a gauge or histogram names, `enums` the value of each constant that
    `constants.enum_constants` lists. `unfit` says of other maps why a metric cannot read them, as the end of a
    sentence: ``{"starts": "its values are 'struct start', not u64"}``.
    """

    event: Record | None
    maps: Mapping[str, Map] = dataclasses.field(default_factory=dict)
    enums: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unfit: Mapping[str, str] = dataclasses.field(default_factory=dict)
    row: Record | None = None


def resolve(probe: Probe, c: CFacts) -> tuple[manifest.ResolvedMetric, ...]:
    """Check a probe against the C, and return the resolved metrics. Raises DeclarationError with every Problem."""
    check, record = _Check(probe, c), c.event
    metrics = tuple(check.metric(metric) for metric in probe.metrics.values())
    if probe.ring and record is None:
        check.problem(probe.ring.at, "the C has no 'struct event' for the ring to carry; define it, or remove the ring")
    if probe.ring and probe.ring.slots and record and record.fields[: len(WEIGHT_FIELDS)] != WEIGHT_FIELDS:
        text = "the C's 'struct event' does not begin with 'WEIGHT;'; add it and call count_event(), or remove 'slots'"
        check.problem((*probe.ring.at, "slots"), text)
    if check.problems:
        raise DeclarationError(sorted(check.problems))
    return metrics


def resolve_columns(
    probe: Probe, record: Record | None, enums: Mapping[str, int]
) -> tuple[manifest.ResolvedColumn, ...]:
    """Check a trace probe's columns against the C's ``struct event``. Raises DeclarationError with every Problem."""
    check = _Check(probe, CFacts(record, enums=enums))
    tables = [check.column(column) for column in probe.columns.values()]
    if check.problems:
        raise DeclarationError(sorted(check.problems))
    return tuple(replace(each, table=table) for each, table in zip(probe.resolved_columns, tables, strict=True))


def check_programs(probe: Probe, functions: Collection[str]) -> list[Problem]:
    """Compare the declared programs with `functions`, the programs of the C."""
    there = f"programs there: {listed(functions)}"
    problems = [
        probe.source.problem(program.at, f"the C has no program '{name}' ({there}){did_you_mean(name, functions)}")
        for name, program in probe.programs.items()
        if name not in functions
    ]
    for name in functions:
        if name not in probe.programs:
            text = f"program '{name}' of the C is attached nowhere; add '{name}: {{raw_tracepoint: …}}'"
            problems.append(probe.source.problem(("programs",), text))
    return sorted(problems)


class _Check:
    """Check of one probe, with the `problems` so far."""

    def __init__(self, probe: Probe, c: CFacts) -> None:
        self.probe = probe
        self.row = [Layout("'struct row'", c.row)] if c.row else []
        self.event = [Layout("'struct event'", without_weight(c.event))] if c.event else []
        self.maps = c.maps
        self.enums = c.enums
        self.unfit = c.unfit
        self.problems: list[Problem] = []

    def problem(self, at: Key, text: str) -> None:
        self.problems.append(self.probe.source_of(at).problem(at, text))

    def metric(self, metric: Metric) -> manifest.ResolvedMetric:
        layouts = self.keys_of_maps(metric) if metric.maps else self.row if metric.rows else self.event
        shows_maps = metric.type == "gauge" and not metric.rows
        value = self.shown_member(metric) if shows_maps else self.observed_field(metric, layouts)
        return manifest.ResolvedMetric(
            name=metric.name,
            type=metric.type,
            help=metric.help,
            maps=metric.maps,
            when=self.when(metric, layouts),
            labels=tuple(self.label(name, label, layouts) for name, label in metric.labels.items()),
            value=value,
            factor=metric.factor,
            bounds=metric.bounds,
            budget=metric.series or manifest.SERIES_BUDGET,
            idle_seconds=metric.idle_seconds or manifest.IDLE_SECONDS,
            schema=metric.native.schema if metric.native else None,
            rows=metric.rows,
        )

    def keys_of_maps(self, metric: Metric) -> list[Layout]:
        for index, name in enumerate(metric.maps):
            if name in self.unfit:
                self.problem((*metric.at, "maps", index), f"map '{name}' cannot be read: {self.unfit[name]}")
            elif name not in self.maps:
                text = f"the C has no map '{name}' of counts (there: {listed(self.maps)})"
                self.problem((*metric.at, "maps", index), text + did_you_mean(name, self.maps))
            elif metric.type == "counter" and self.maps[name].value != manifest.COUNT:
                text = f"map '{name}' cannot be read: its values are {value_type(self.maps[name])}, not u64"
                self.problem((*metric.at, "maps", index), text)
            elif metric.type == "histogram":
                self.map_of_buckets((*metric.at, "maps", index), self.maps[name])
        return [Layout(f"the key of map '{name}'", self.maps[name].key) for name in metric.maps if name in self.maps]

    def map_of_buckets(self, at: Key, each: Map) -> None:
        """Check that a map has sums, and the bucket's number in its key."""
        if each.value != manifest.BUCKET:
            text = f"map '{each.name}' has no sums for a histogram: its values are {value_type(each)}"
            self.problem(at, f"{text}; make them 'struct {BUCKET_STRUCT}'")
        number = next((field for field in each.key.fields if field.name == manifest.BUCKET_FIELD), None)
        if number is None:
            text = f"the key of map '{each.name}' has no bucket (members: {listed(f.name for f in each.key.fields)})"
            self.problem(at, f"{text}; make it a struct with 'u32 {manifest.BUCKET_FIELD}', and the map a hash")
        elif number.count > 1 or not number.type.startswith("u"):
            text = f"member '{number.name}' in the key of map '{each.name}' is {c_type(number)}, and no bucket's number"
            self.problem(at, f"{text}; make it 'u32 {number.name}'")

    def when(self, metric: Metric, layouts: list[Layout]) -> dict[str, int]:
        wanted = {}
        for name, constant in metric.when.items():
            at = (*metric.at, "when", name)
            field = self.integer(at, name, layouts, "'when' compares integers")
            number = self.number(at, constant)
            if number is not None:
                wanted[name] = number
                self.fits(at, constant, number, field)
        return wanted

    def label(self, name: str, label: Label, layouts: list[Layout]) -> manifest.ResolvedLabel:
        field = self.label_field(label, layouts)
        fold = tuple(manifest.ResolvedFoldRule(rule.match, rule.replace, rule.parts) for rule in label.fold)
        return manifest.ResolvedLabel(name, label.field, label.decoder, self.table(label, field), label.texts, fold)

    def column(self, column: Column) -> dict[int, str]:
        """Check a column; return the table of the decoder enum, else an empty one."""
        if COLUMN_DECODERS[column.decoder].reads != "length":
            return self.table(column, self.label_field(column, self.event))
        at = (*column.at, "field")
        field = self.field(at, column.field, self.event)
        if field and c_type(field) != "u32":
            text = f"decoder '{column.decoder}' reads the length of bytes, a u32, but field '{field.name}' is"
            self.problem(at, f"{text} {c_type(field)}")
        return {}

    def label_field(self, label: Label | Column, layouts: list[Layout]) -> Field | None:
        at = (*label.at, "field")
        reads = COLUMN_DECODERS[label.decoder].reads
        if reads == "text":
            return self.text(at, label, layouts)
        if reads == "address":
            return self.address(at, label, layouts)
        if reads == "stack":
            return self.stack(at, label, layouts)
        field = self.integer(at, label.field, layouts, f"decoder '{label.decoder}' reads integers")
        if field and reads == "u64" and field.type != "u64":
            text = f"decoder '{label.decoder}' reads u64, but field '{label.field}' is {field.type}; make it a u64"
            self.problem(at, text)
        return field

    def table(self, label: Label | Column, field: Field | None) -> dict[int, str]:
        if label.decoder == "kernel_enum":
            return {constant: text for constant, text in label.table.items() if isinstance(constant, int)}
        table: dict[int, str] = {}
        for constant, text in label.table.items():
            at = (*label.at, "table", constant)
            number = self.number(at, constant)
            if number is None:
                continue
            if number in table:
                first = f"{_shown(constant, number)} has the text '{table[number]}' already"
                self.problem(at, f"{first}; remove one of the two")
            self.fits(at, constant, number, field)
            table[number] = text
        return table

    def observed_field(self, metric: Metric, layouts: list[Layout]) -> str | None:
        if metric.value is not None:
            reads = "a gauge adds up integers" if metric.rows else "a histogram observes integers"
            self.integer((*metric.at, "value"), metric.value, layouts, reads)
        return metric.value

    def shown_member(self, metric: Metric) -> str:
        """Find the member of map values that a gauge shows."""
        maps = [(index, self.maps[name]) for index, name in enumerate(metric.maps) if name in self.maps]
        for index, each in maps:
            if each.recent:
                text = f"map '{each.name}_recent' has counts that map '{each.name}' is still to get"
                self.problem((*metric.at, "maps", index), f"{text}; a gauge needs a map without")
            if metric.value is None and each.value.fields[0].name != SCALAR:
                text = f"the values of map '{each.name}' are {value_type(each)}; add 'value: MEMBER'"
                self.problem((*metric.at, "maps", index), text)
                return SCALAR
        at = (*metric.at, "value" if metric.value else "maps")
        layouts = [Layout(f"the value of map '{each.name}'", each.value) for _, each in maps]
        self.integer(at, metric.value or SCALAR, layouts, "a gauge shows integers")
        return metric.value or SCALAR

    def number(self, at: Key, constant: str | int) -> int | None:
        if isinstance(constant, int):
            return constant
        if constant not in self.enums:
            self.problem(at, f"the C has no enum constant '{constant}'{did_you_mean(constant, self.enums)}")
        return self.enums.get(constant)

    def fits(self, at: Key, constant: str | int, number: int, field: Field | None) -> None:
        if field is None:
            return
        least, most = range_of(field.type)
        if not least <= number <= most:
            what = f"field '{field.name}' is {field.type}, {least} to {most}"
            self.problem(at, f"{_shown(constant, number)} never occurs: {what}")

    def integer(self, at: Key, name: str, layouts: list[Layout], need: str) -> Field | None:
        field = self.field(at, name, layouts)
        if field is None or (field.type != "char" and field.count == 1):
            return field
        remedy = "; for text take the decoder comm or string" if "decoder" in need and field.type == "char" else ""
        self.problem(at, f"{need}, but field '{name}' is {c_type(field)}{remedy}")
        return None

    def text(self, at: Key, label: Label | Column, layouts: list[Layout]) -> Field | None:
        field = self.field(at, label.field, layouts)
        if field and (field.type != "char" or field.count == 1):
            found = f"decoder '{label.decoder}' reads char[N], but field '{label.field}' is {c_type(field)}"
            self.problem(at, f"{found}; take a decoder of integers, such as integer, hex or enum")
        return field

    def address(self, at: Key, label: Label | Column, layouts: list[Layout]) -> Field | None:
        name = label.field
        field = self.field(at, name, layouts)
        if field and c_type(field) not in ("u32", "char[16]"):
            text = (
                f"decoder '{label.decoder}' reads u32 (IPv4, as on the wire) or char[16] (IPv6), but field '{name}' is"
            )
            self.problem(at, f"{text} {c_type(field)}")
        return field

    def stack(self, at: Key, label: Label | Column, layouts: list[Layout]) -> Field | None:
        field = self.field(at, label.field, layouts)
        if field and (field.type != "u64" or field.count == 1):
            text = f"decoder '{label.decoder}' reads u64[N], but field '{label.field}' is {c_type(field)}"
            self.problem(at, f"{text}; make it 'u64 {label.field}[N]', and call READ_KERNEL_STACK() in the program")
        return field

    def field(self, at: Key, name: str, layouts: list[Layout]) -> Field | None:
        """Find a field that every layout has with the same type; note a problem and return None otherwise."""
        there = [(layout, layout.field(name)) for layout in layouts]
        for layout, field in there:
            if field is None:
                names = [field.name for field in layout.record.fields]
                text = f"field '{name}' is not in {layout.what} (fields: {listed(names)})"
                self.problem(at, text + did_you_mean(name, names))
        fields = [(layout, field) for layout, field in there if field]
        for layout, field in fields[1:]:
            first, one = fields[0]
            if c_type(field) != c_type(one):
                text = f"field '{name}' is {c_type(one)} in {first.what} but {c_type(field)} in {layout.what}"
                self.problem(at, f"{text}; give it one type, for their counts are added up")
        return fields[0][1] if fields and len(fields) == len(layouts) else None


def _shown(constant: str | int, number: int) -> str:
    return str(number) if constant == number else f"{constant} ({number})"
