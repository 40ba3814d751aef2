# SPDX-License-Identifier: Apache-2.0
"""Constants that a declaration shares with the C of its probe and with the kernel. Pure.

The loader reads the values of `enum_constants` in the C, and those of `kernel_enums` in the kernel's BTF; the C gets
`macros_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from probed.config.declaration.histograms import bucket_numbering
from probed.config.declaration.probe import Probe
from probed.schema.structure import Key

WHEN_MEMBERS = "WHEN_MEMBERS(apply,type)"
"""The macro of probed.bpf.h, with its parameters."""


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


def macros_of(probe: Probe, source: str) -> dict[str, str]:
    """Return the macros that probed.bpf.h takes from a declaration: buckets in kernel maps, and members in `when`.

    A member without a word in the C `source` is left out, so the C compiles, and `resolve` says what the event has.
    """
    named = {member for metric in probe.metrics.values() for member in metric.when}
    members = sorted(named & set(re.findall(r"\w+", source)))
    chosen = {WHEN_MEMBERS: " ".join(f"apply(type, {member})" for member in members)} if members else {}
    return chosen | {
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
