# SPDX-License-Identifier: Apache-2.0
"""Checks a declaration against the host, the last of three checks: attach points, and enums of the kernel.

The loader calls it with the host's names; the module gathers none. Problems point at the YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from probed.config.declaration.constants import kernel_enums
from probed.config.declaration.labels import Label
from probed.config.declaration.probe import Probe
from probed.errors import Problem
from probed.ipc.attach_points import OF_FILES, AttachPoint, has_target, is_pattern
from probed.schema.suggestions import near

MOST_LISTED: Final = 20
"""Most USDT probes in an error."""

KernelEnums = Mapping[str, Mapping[str | int, str]]
"""Enums of the running kernel by name: the name of each value."""


def check_attach_points(probe: Probe, known: Callable[[AttachPoint], Collection[str]]) -> list[Problem]:
    """Check that the host has every attach point.

    `known` returns the host's names for an attach point. It raises OSError or ValueError where the file or the
    machine cannot be used.
    """
    problems = []
    for program in probe.programs.values():
        point = program.attach_point
        at = (*program.at, point.kind)
        try:
            names = known(point)
        except (OSError, ValueError) as error:
            problems.append(probe.source.problem(at, _unusable_file(error)))
        else:
            if not has_target(point, names):
                problems.append(probe.source.problem(at, _no_attach_point(point, names)))
    return problems


def with_kernel_enums(probe: Probe, enums: KernelEnums) -> Probe:
    """Give each label with the decoder kernel_enum its table; an enum that the kernel lacks has an empty one."""

    def filled(label: Label) -> Label:
        return replace(label, table=enums.get(label.enum, {})) if label.enum is not None else label

    metrics = {
        name: replace(metric, labels={key: filled(label) for key, label in metric.labels.items()})
        for name, metric in probe.metrics.items()
    }
    return replace(probe, metrics=metrics)


def check_kernel_enums(probe: Probe, known: Collection[str]) -> list[Problem]:
    """Check that `known`, the names of the kernel's enums, has every enum of the labels."""
    return [
        probe.source_of(at).problem(at, _no_enum(name, known))
        for name, places in kernel_enums(probe).items()
        if name not in known
        for at in places
    ]


def _no_enum(name: str, known: Collection[str]) -> str:
    names = ", ".join(near(name, known))
    return f"this kernel has no 'enum {name}'{names and f'; near names: {names}'}"


def _unusable_file(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"'{error.filename}' cannot be read by the daemon's user: {error.strerror}"
    return str(error)


def _no_attach_point(point: AttachPoint, known: Collection[str]) -> str:
    if is_pattern(point):
        return f"no function of this kernel matches '{point.target}'"
    if point.kind == "usdt":
        return _no_usdt_probe(point, known)
    if point.kind in OF_FILES:
        names = near(point.function, known)
        remedy = f"near names: {', '.join(names)}" if names else "is the file stripped of its symbols?"
        return f"'{point.file}' has no function '{point.function}'; {remedy}"
    names = near(point.target, known)
    if point.kind == "iterator":
        proposed = f"near names: {', '.join(names)}; " if names else ""
        return f"this kernel has no iterator '{point.target}'; {proposed}iterators here: {', '.join(sorted(known))}"
    if point.kind == "raw_tracepoint":
        remedy = f"near names: {', '.join(names)}" if names else "'ls /sys/kernel/tracing/events/*' lists what it has"
        return f"this kernel has no raw tracepoint '{point.target}'; {remedy}"
    remedy = f"near names: {', '.join(names)}" if names else "the compiler may have inlined it"
    return f"this kernel has no function '{point.target}' outside of modules; {remedy}"


def _no_usdt_probe(point: AttachPoint, known: Collection[str]) -> str:
    if not known:
        return f"'{point.file}' has no USDT probes: its authors or packagers have left them out"
    names = near(point.function, known)
    proposed = f"near names: {', '.join(names)}; " if names else ""
    listed = sorted(known)[:MOST_LISTED]
    rest = f" and {len(known) - len(listed)} others" if len(known) > len(listed) else ""
    return f"'{point.file}' has no USDT probe '{point.function}'; {proposed}probes there: {', '.join(listed)}{rest}"
