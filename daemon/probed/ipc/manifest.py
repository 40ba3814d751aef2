# SPDX-License-Identifier: Apache-2.0
"""Description of a loaded probe: the loader makes one, the supervisor keeps it, the exporter runs the probe by it.

Pure data, sent as JSON (`ipc.channel`) and built as strictly as the YAML (`schema.structure`). The receivers need no
C or YAML: enum constants are numbers, units are factors, buckets are bounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from probed.frozen import frozen

VERSION = 17

SERIES_BUDGET = 1000
"""Series that a metric may have where neither site nor declaration says otherwise."""

IDLE_SECONDS = 3600.0
"""Default of the seconds that a series stays without events."""

FieldType = Literal["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "char"]
MapKind = Literal["percpu_array", "percpu_hash", "array", "hash"]
MetricType = Literal["counter", "gauge", "histogram"]
LoaderName = Literal["bcc", "core"]
"""How a probe was loaded: compiled by BCC, or from its object (CO-RE)."""

LoaderChoice = Literal["auto", "core", "bcc"]
"""Ways to load probes: `core` from objects, `bcc` from sources, `auto` from objects where there are some."""


@frozen
class Field:
    """One member of a C struct: `offset` in bytes, `count` elements (1: a scalar) of `type`."""

    name: str
    type: FieldType
    offset: int
    count: int

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.count * (1 if self.type == "char" else int(self.type[1:]) // 8)

    @property
    def is_bytes(self) -> bool:
        """Whether a decoder gets the member as bytes: a char array, or an array of integers."""
        return self.type == "char" or self.count > 1


@frozen
class Record:
    """The layout of a C struct (or of a scalar, as one field named `key` or `value`); `size` in bytes."""

    size: int
    fields: tuple[Field, ...]


WEIGHT_FIELDS = (Field("weight", "u64", 0, 1), Field("slot_total", "u64", 8, 1), Field("slot", "s64", 16, 1))
"""Members that begin an event with a weight: the macro WEIGHT of probes/include/probed.bpf.h."""

OVERFLOW_MAPS = ("overflow_0", "overflow_1")
"""Hash maps of events with a weight that found the ring full, by turn."""

OTHERS_MAPS = ("others_0", "others_1")
"""Hash maps of those that found the overflow map of that turn full too."""


def without_weight(event: Record) -> Record:
    """Return the layout without the members of the weight, which no metric reads."""
    return replace(event, fields=tuple(field for field in event.fields if field not in WEIGHT_FIELDS))


COUNT = Record(8, (Field("value", "u64", 0, 1),))
"""The value of a map of counts."""

BUCKET = Record(16, (Field("sum", "u64", 0, 1), Field("count", "u64", 8, 1)))
"""The value of a map of buckets: struct histogram_bucket of probes/include/probed.bpf.h."""

BUCKET_FIELD = "bucket"
"""The member with the bucket's number in the key of a map of buckets."""


@frozen
class Map:
    """One kernel map that a metric reads, per CPU where `kind` says so.

    Counters read maps of u64 counts (`COUNT`), histograms maps of buckets (`BUCKET`) with the number of the bucket in
    the key (`BUCKET_FIELD`), gauges an integer or the member of a struct. Counts still to be added
    to the map are in `recent` slots a CPU of the map NAME_recent; 0: there is no such map.
    """

    name: str
    kind: MapKind
    key: Record
    entries: int
    recent: int = 0
    value: Record = COUNT


@frozen
class ResolvedFoldRule:
    """Replaces a text that `match`, a regular expression, matches whole by `replace`; None drops the series.

    With `parts` the rule replaces every match in the text, and applies if there is one.
    """

    match: str
    replace: str | None
    parts: bool = False


@frozen
class ResolvedLabel:
    """One label: the field of the event or key, and the decoder that makes the text.

    `decoder` is a name in `exporter.decoders`; `table` is its argument: number → text for `enum` and `kernel_enum`,
    else empty; `texts` that of `map`: text → text. Of the `fold` rules the first that matches counts; they are the
    site's, the declaration's and the defaults, in this order.
    """

    name: str
    field: str
    decoder: str
    table: Mapping[int, str]
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fold: tuple[ResolvedFoldRule, ...] = ()


@frozen
class ResolvedMetric:
    """One metric, resolved against the C.

    `maps` names the kernel maps that it adds up, `rows` the programs at iterators whose rows a gauge counts; without
    both it counts events of the ring.
    `when` are equalities on fields of the event, all of which must hold. A histogram observes `value`, a field in
    units of `factor` base units (``duration_ns``: 1e-9 for seconds); of a histogram with `maps` the sums in the maps
    are in these units, and `value` is None. `bounds` are its upper bounds in base units,
    ascending, without +Inf, and `schema` is the resolution of its native form (-4 to 8). Without bounds the histogram
    is only native, without a schema only classic. A gauge shows `value`, a member of the maps' values, likewise in
    units of `factor`, as the counts of a counter's maps. A gauge of rows adds up `value`, or counts the rows.
    `budget` is how many series the metric may have, `other` among them. A series of a counter or histogram leaves
    after `idle_seconds` without events, a series of a gauge with its map entries.
    """

    name: str
    type: MetricType
    help: str
    maps: tuple[str, ...]
    when: Mapping[str, int]
    labels: tuple[ResolvedLabel, ...]
    value: str | None
    factor: float
    bounds: tuple[float, ...]
    budget: int = SERIES_BUDGET
    idle_seconds: float = IDLE_SECONDS
    schema: int | None = None
    rows: tuple[str, ...] = ()


@frozen
class ResolvedColumn:
    """One column of a trace probe: the field of the event, and the decoder that makes the text.

    A decoder that reads a `length` has its bytes behind the event, in the order of these fields. `width` is the number
    of characters in a table. `table` is the argument of `enum`, number → text.
    """

    name: str
    field: str
    decoder: str
    width: int
    table: Mapping[int, str] = dataclasses.field(default_factory=dict)


def switch_names(tracepoint: str) -> tuple[str, str]:
    """Return the names under which the supervisor holds a tracepoint's empty programs, beside a hook in a kprobe."""
    return f"{tracepoint}.switch", f"{tracepoint}.switch2"


@frozen
class ChainSlot:
    """Where a program belongs: a slot of the array behind the hook of an attach point (`attach_points`)."""

    program: str
    attach_point: str
    slot: int


MOST_ROW_BYTES = 8 << 20
"""Bytes of rows that the exporter takes from one program at an iterator at a scrape: 200,000 rows of 40 bytes."""


@frozen
class IteratorProgram:
    """A program that runs for each object of an attach point's kind, whenever the exporter reads."""

    program: str
    attach_point: str


FdKind = Literal[
    "ring", "slots", "turn", "stats", "state", "map", "recent", "hash", "program", "iterator", "fdinfo", "hook"
]  # fmt: skip
"""Kinds of a probe's fds.

`ring`, `slots`, `turn`, `stats`: the maps of the probe's events; `state`: the supervisor's memory for the exporter's
counts. Of a map: `map` and `recent`, its counts and its `struct recent_count`; `hash`, a hash map that no metric reads.
`program`: a program; `iterator`: the link of a program at an iterator, from which the exporter reads. The exporter gets
`fdinfo` instead of programs, a program's file in /proc, and `hook`, such a file for the hook of an attach point.
"""


MAP_KINDS = frozenset[FdKind]({"ring", "slots", "turn", "stats", "map", "recent", "hash"})
"""Kinds of fds of a probe's maps."""


@frozen
class FdName:
    """Name of one of a probe's fds; `of` is the map, program or attach point, where the kind has several."""

    kind: FdKind
    of: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.of}".rstrip()


@frozen
class LoadedProbe:
    """One probe as it runs in the kernel.

    `fingerprint` says what it was made from (declaration with overrides, sources): equal means that it counts the same.
    `object` is the digest of the object that libbpf loaded, "" for a source that BCC compiled.
    `ring_bytes` is 0 for a probe without a ring; `event` is then None. `slots` are the label sets that each CPU counts
    by itself; 0: the events have no weight.
    Its fds travel beside it, in the order of `fd_names`. It runs once its programs are in their
    `places`; `start_time`, seconds since the epoch, is a moment before that, from which its counters count.
    `map_bytes` is the kernel memory of its ring and maps. A trace probe has `columns` and no metrics. `row` is the
    layout of what the programs at `iterators` emit, which run in no slot.
    """

    name: str
    fingerprint: str
    event: Record | None
    ring_bytes: int
    maps: tuple[Map, ...]
    metrics: tuple[ResolvedMetric, ...]
    fd_names: tuple[FdName, ...]
    places: tuple[ChainSlot, ...] = ()
    start_time: float = 0.0
    object: str = ""
    map_bytes: int = 0
    slots: int = 0
    columns: tuple[ResolvedColumn, ...] = ()
    iterators: tuple[IteratorProgram, ...] = ()
    row: Record | None = None

    @property
    def attach_points(self) -> dict[str, str]:
        """The attach point of each program."""
        slots = {each.program: each.attach_point for each in self.places}
        return slots | {each.program: each.attach_point for each in self.iterators}

    @property
    def loader(self) -> LoaderName:
        """The way in which it came."""
        return "core" if self.object else "bcc"
