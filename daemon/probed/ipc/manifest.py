# SPDX-License-Identifier: Apache-2.0
"""What the loader found out about a probe, as the supervisor keeps it and the exporter uses it.

Pure data. It travels as JSON (`channel`) and is built with the same strictness as the YAML (`shape`).
After this point nobody sees C or YAML: enum constants are numbers, units are factors, buckets are bounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VERSION = 9

SERIES_BUDGET = 1000
"""Series that a metric may have where neither site nor declaration says otherwise."""

IDLE_SECONDS = 3600.0
"""How long a series stays without events, likewise."""

FieldType = Literal["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "char"]
MapKind = Literal["percpu_array", "percpu_hash", "array", "hash"]
MetricType = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a C struct: `offset` in bytes, `count` elements (1: a scalar) of `type`."""

    name: str
    type: FieldType
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Record:
    """The layout of a C struct (or of a scalar, as one field named `key` or `value`); `size` in bytes."""

    size: int
    fields: tuple[Field, ...]


COUNT = Record(8, (Field("value", "u64", 0, 1),))
"""The value of a map of counts."""


@dataclass(frozen=True, slots=True)
class Map:
    """One kernel map that a metric reads, per CPU where `kind` says so.

    Counters read maps of u64 counts (`COUNT`), gauges an integer or the member of a struct. Counts still to be added
    to the map are in `recent` slots a CPU of the map NAME_recent; 0: there is no such map.
    """

    name: str
    kind: MapKind
    key: Record
    entries: int
    recent: int = 0
    value: Record = COUNT


@dataclass(frozen=True, slots=True)
class FoldRule:
    """Text that the regular expression `match` matches as a whole becomes `replace`; None: its series is dropped."""

    match: str
    replace: str | None


@dataclass(frozen=True, slots=True)
class Label:
    """One label: the field it comes from and the decoder that makes its text.

    `decoder` is a name in `exporter.decoders`; `table` is its argument: number → text for `enum`, else empty; `texts`
    that of `map`: text → text. Of the `fold` rules the first that matches counts; they are the site's, the
    declaration's and the defaults, in this order.
    """

    name: str
    field: str
    decoder: str
    table: Mapping[int, str]
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fold: tuple[FoldRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, resolved against the C.

    `maps` names the kernel maps that it adds up; empty means that it counts events of the ring.
    `when` are equalities on fields of the event, all of which must hold. A histogram observes `value`, a field in
    units of `factor` base units (``duration_ns``: 1e-9 for seconds); `bounds` are its upper bounds in base units,
    ascending, without +Inf. A gauge shows `value`, a member of the maps' values, likewise in units of `factor`.
    `budget` is how many series the metric may have, `other` among them. A series of a counter or histogram leaves
    after `idle_seconds` without events, a series of a gauge with its map entries.
    """

    name: str
    type: MetricType
    help: str
    maps: tuple[str, ...]
    when: Mapping[str, int]
    labels: tuple[Label, ...]
    value: str | None
    factor: float
    bounds: tuple[float, ...]
    budget: int = SERIES_BUDGET
    idle_seconds: float = IDLE_SECONDS


def hook_name(tracepoint: str) -> str:
    """Return the name of a raw tracepoint's hook in C; the kernel keeps the first 15 characters."""
    return f"probed_{tracepoint}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program belongs: a slot of the array behind the hook of a raw tracepoint."""

    program: str
    tracepoint: str
    slot: int


@dataclass(frozen=True, slots=True)
class LoadedProbe:
    """One probe as it runs in the kernel.

    `fingerprint` says what it was made from (declaration with overrides, sources): equal means unchanged.
    `ring_bytes` is 0 for a probe without a ring; `event` is then None.
    Its fds travel beside it, in the order that `fd_names` says: ``ring``, ``stats``, ``map:NAME`` and ``recent:NAME``
    beside it, ``hash:NAME`` for hash maps that no metric reads, ``program:PROGRAM``, and ``state``, the supervisor's:
    memory for what the exporter counts. Instead of programs the exporter gets ``fdinfo:PROGRAM``, a file of /proc, and
    of the hooks that they are behind ``hook:TRACEPOINT``, such a file too. It runs once its programs are in their
    `places`; `start_time`, seconds since the epoch, is a moment before that, from which its counters count.
    """

    name: str
    fingerprint: str
    event: Record | None
    ring_bytes: int
    maps: tuple[Map, ...]
    metrics: tuple[Metric, ...]
    fd_names: tuple[str, ...]
    places: tuple[Place, ...] = ()
    start_time: float = 0.0
