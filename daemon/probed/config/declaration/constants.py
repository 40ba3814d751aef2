# SPDX-License-Identifier: Apache-2.0
"""Constants that a declaration shares with the C of its probe and with the kernel. Pure.

The loader reads the values of `enum_constants` in the C, and those of `kernel_enums` in the kernel's BTF; the C gets
`bucket_macros`.
"""

from __future__ import annotations

from collections.abc import Iterator

from probed.config.declaration.histograms import bucket_numbering
from probed.config.declaration.probe import Probe
from probed.schema.structure import Key


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
