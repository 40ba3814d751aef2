# SPDX-License-Identifier: Apache-2.0
"""Types of the scalars in declarations and site configurations, each with its `structure.Rule`s.

The elements of a declaration, `overrides` and `site` use the types in their hints, and check rules between keys
themselves.

Sources: https://prometheus.io/docs/practices/naming/, https://prometheus.io/docs/concepts/data_model/ and
https://prometheus.io/docs/instrumenting/writing_exporters/#labels.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from probed.config.declaration import base_units
from probed.schema.rules import between
from probed.schema.structure import Rule, pattern

MAX_FUNCTION: Final = 90
MAX_PROVIDER: Final = 30
MAX_USDT_NAME: Final = 55
MAX_ARGUMENTS: Final = 12
"""Most arguments of a USDT probe, as the macros of sys/sdt.h have."""
MAX_FREQUENCY: Final = 10_000
MIN_RING_BYTES: Final = 4 << 10
MAX_RING_BYTES: Final = 1 << 30
MAX_SERIES: Final = 100_000
MIN_SLOTS: Final = 2
MAX_SLOTS: Final = 256

OWN_METRIC_PREFIXES: Final = (
    "probed_build_",
    "probed_collection",
    "probed_config_",
    "probed_drain",
    "probed_events_",
    "probed_evidence_",
    "probed_exporter_",
    "probed_http_",
    "probed_loader_",
    "probed_map_",
    "probed_notes_lost",
    "probed_probe_",
    "probed_program_",
    "probed_ring_",
    "probed_scrape_",
    "probed_series",
    "probed_supervisor_",
    "probed_unknown_",
    "probed_web_",
)
"""Prefixes of probed's metrics about itself, which no probe may use."""

_TARGET_LABEL: Final = "Prometheus asks exporters to leave it to targets; choose another name"

_RESERVED_LABELS: Final = {
    "le": "Prometheus puts the bound of a histogram's bucket there; choose another name",
    "quantile": "Prometheus puts a summary's quantile there; choose another name",
    "job": "Prometheus puts the scrape job there; choose another name",
    "instance": "Prometheus puts the scraped address there; choose another name",
    "type": "Prometheus asks exporters to avoid a name so general; choose a more precise one",
    "service": f"{_TARGET_LABEL}: a systemd unit or container is called 'unit'",
    "zone": _TARGET_LABEL,
    "env": _TARGET_LABEL,
}


def _constant(value: str | int) -> str | int:
    if isinstance(value, str) and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value) is None:
        raise ValueError(f"expected the name of an enum constant of the C, or an integer, found '{value}'")
    return value


def _not_own(metric: str) -> str:
    own = next((start for start in OWN_METRIC_PREFIXES if metric.startswith(start)), None)
    if own:
        raise ValueError(f"names that start with '{own}' are probed's own; choose a name after the measured quantity")
    return metric


def _not_reserved(label: str) -> str:
    if label.startswith("__"):
        raise ValueError(
            f"label '{label}' is reserved: Prometheus keeps names that start with '__'; choose another name"
        )
    if label in _RESERVED_LABELS:
        raise ValueError(f"label '{label}' is reserved: {_RESERVED_LABELS[label]}")
    return label


def _ring_size(number: int) -> int:
    if MIN_RING_BYTES <= number <= MAX_RING_BYTES and number.bit_count() == 1:
        return number
    near = min(max(1 << max(number - 1, 0).bit_length(), MIN_RING_BYTES), MAX_RING_BYTES)
    raise ValueError(
        f"expected a power of two from 4 KiB to 1 GiB, found {base_units.format_size(number)}; "
        f"{base_units.format_size(near)} would do"
    )


def _slots(number: int) -> int:
    if number and not (MIN_SLOTS <= number <= MAX_SLOTS and number.bit_count() == 1):
        raise ValueError(f"expected a power of two from {MIN_SLOTS} to {MAX_SLOTS}, or 0, found {number}")
    return number


def _idle(seconds: float) -> float:
    if seconds < 1:
        raise ValueError(f"expected at least 1 second, found {seconds:g}; take several times the scrape interval")
    return seconds


def _offset(offset: int) -> int:
    if offset < 1:
        raise ValueError(f"expected an offset in the file, found {offset}")
    return offset


def _period(events: int) -> int:
    if events < 1:
        raise ValueError(f"expected a number of events, found {events}")
    return events


CName = Annotated[str, pattern("[A-Za-z_][A-Za-z0-9_]*", "a C name (letters, digits and '_')")]
Constant = Annotated[str | int, Rule(_constant, {"pattern": "^([A-Za-z_][A-Za-z0-9_]*|-?[0-9]+)$"})]
RawTracepoint = Annotated[
    str,
    pattern("[A-Za-z_][A-Za-z0-9_]*", "the bare name of a raw tracepoint, without 'sched:' or the like before it"),
]
KernelFunction = Annotated[str, pattern("[A-Za-z_][A-Za-z0-9_]{0,127}", "the name of a kernel function")]
FunctionPattern = Annotated[
    str,
    pattern(r"[A-Za-z0-9_*?\[\]!-]{1,128}", "the name of a kernel function, or a pattern with '*', '?' and '[…]'"),
]
UserFunction = Annotated[
    str,
    pattern(
        f'[A-Za-z_.$][!"$-9;-?A-~]{{0,{MAX_FUNCTION - 1}}}', "the name of a function, as in the symbols of the file"
    ),
]
UserFile = Annotated[
    str,
    pattern("/[A-Za-z0-9_./+-]{1,108}|[A-Za-z0-9_.+-]{1,100}", "an absolute path, or the name of a program or library"),
]
UsdtProvider = Annotated[str, pattern(f"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_PROVIDER - 1}}}", "the provider of a USDT probe")]
UsdtName = Annotated[
    str,
    pattern(f"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_USDT_NAME - 1}}}", "the name of a USDT probe, without the provider"),
]
UsdtArguments = Annotated[int, between(0, MAX_ARGUMENTS, "arguments")]
FileOffset = Annotated[int, Rule(_offset, {"minimum": 1})]
IteratorTarget = Annotated[str, pattern("[a-z_][a-z0-9_]{0,63}", "a kind of objects, such as task or tcp")]
PerfPeriod = Annotated[int, Rule(_period, {"minimum": 1})]
PerfFrequency = Annotated[int, between(1, MAX_FREQUENCY, "runs a second")]
ProbeName = Annotated[str, pattern("[a-z][a-z0-9_]*", "a probe's name (lower-case letters, digits and '_')")]
MetricName = Annotated[
    str,
    pattern("probed_[a-z0-9_]*[a-z0-9]", "a metric's name ('probed_', then lower-case letters, digits and '_')"),
    Rule(_not_own, {"not": {"pattern": f"^({'|'.join(OWN_METRIC_PREFIXES)})"}}),
]
LabelName = Annotated[
    str,
    pattern("[a-z_][a-z0-9_]*", "a label's name (lower-case letters, digits and '_')"),
    Rule(_not_reserved, {"not": {"pattern": f"^(__.*|{'|'.join(_RESERVED_LABELS)})$"}}),
]
Slots = Annotated[int, Rule(_slots, {"enum": [0, *(1 << n for n in range(1, MAX_SLOTS.bit_length()))]})]
SeriesBudget = Annotated[int, between(1, MAX_SERIES, "series")]
IdleSeconds = Annotated[float, Rule(_idle, {"minimum": 1})]
RingSize = Annotated[
    int, Rule(base_units.parse_size, {"pattern": f"^{base_units.SIZE_PATTERN}$"}, raw=int | str), Rule(_ring_size)
]
