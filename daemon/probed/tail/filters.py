# SPDX-License-Identifier: Apache-2.0
"""Filters of `probed tail`: constants for the programs in the kernel, and a predicate for rows. Pure.

The kernel compares names by whole or by beginning (``make*``), numbers, errnos and lifetimes. Units have names only in
this process, and other globs (``*-worker``) are compared here. The predicate repeats each filter, so a trace probe of a
site may leave the constants out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

from probed.errors import HostError
from probed.ipc.loader_messages import TraceConstants
from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import CellDecoder, is_failure
from probed.tail.options import Filters, TailOptions
from probed.tail.rows import Row

COMM_BYTES: Final = 16
"""TASK_COMM_LEN of Linux include/linux/sched.h."""

GLOBS: Final = ("unit", "comm", "parent")
NUMBERS: Final = ("uid", "pid", "ppid")
OUTCOMES: Final = ("result", "exit_status")
"""Decoders of columns that show success or failure."""

Predicate = Callable[[Row], bool]


def constants(options: TailOptions) -> TraceConstants:
    """Return the constants of probes/include/probed.bpf.h for the filters that the kernel can apply."""
    filters = options.filters
    numbers = {f"only_{name}": getattr(filters, name) for name in (*NUMBERS, "errno")}
    numbers["least_lifetime_ns"] = filters.min_lifetime
    given = {name: number for name, number in numbers.items() if number is not None}
    names = name_constants("comm", filters.comm) | name_constants("parent", filters.parent)
    return TraceConstants(only_failed=int(filters.failed), with_all=int(options.all), **given, **names)


def name_constants(name: str, glob: str | None) -> dict[str, int]:
    """Return masks and words for a glob of the names `name`, nothing for a glob that the kernel cannot compare.

    A whole name ends with its NUL: older kernels leave bytes of an earlier name behind.
    """
    found = re.fullmatch(r"([A-Za-z0-9_.:/@+ -]{1,15})(\*?)", glob or "")
    if found is None:
        return {}
    text = found[1].encode() + (b"" if found[2] else b"\0")
    parts = {"mask": (b"\xff" * len(text)).ljust(COMM_BYTES, b"\0"), "word": text.ljust(COMM_BYTES, b"\0")}
    return {
        f"{name}_{kind}_{half}": int.from_bytes(part[8 * half : 8 * half + 8], sys.byteorder)
        for kind, part in parts.items()
        for half in (0, 1)
    }


def predicate(filters: Filters, columns: Sequence[ResolvedColumn], decoders: Mapping[str, CellDecoder]) -> Predicate:
    """Return a function that says whether a row passes all filters, each of which has its column."""
    tests = [test for _, _, test in _wanted(filters, columns, decoders)]
    return lambda row: all(test(row) for test in tests)


def check(filters: Filters, trace: str, columns: Sequence[ResolvedColumn]) -> None:
    """Raise HostError for a filter of a column that the trace probe `trace` lacks."""
    names = {column.name for column in columns}
    for column, option, _ in _wanted(filters, columns, {}):
        if column not in names:
            raise HostError(f"--{option} does not apply: trace probe '{trace}' has no column '{column}'")


def _wanted(filters: Filters, columns: Sequence[ResolvedColumn], decoders: Mapping[str, CellDecoder]) -> list[_Wanted]:
    return [*_globs(filters, decoders), *_numbers(filters), *_outcomes(filters, columns)]


_Wanted = tuple[str, str, Predicate]
"""Column, option, and the test of a row."""


def _globs(filters: Filters, decoders: Mapping[str, CellDecoder]) -> Iterator[_Wanted]:
    for name in GLOBS:
        glob = getattr(filters, name)
        if glob is not None:
            yield name, name, partial(_matches, name, glob, decoders)


def _matches(name: str, glob: str, decoders: Mapping[str, CellDecoder], row: Row) -> bool:
    return fnmatchcase(decoders[name].text(row[name]), glob)


def _numbers(filters: Filters) -> Iterator[_Wanted]:
    for name in NUMBERS:
        number = getattr(filters, name)
        if number is not None:
            yield name, name, partial(_equals, name, number)
    if filters.min_lifetime is not None:
        yield "lifetime", "min-lifetime", partial(_is_at_least, "lifetime", filters.min_lifetime)


def _equals(name: str, number: int, row: Row) -> bool:
    return row[name] == number


def _is_at_least(name: str, least: int, row: Row) -> bool:
    value = row[name]
    return isinstance(value, int) and value >= least


def _outcomes(filters: Filters, columns: Sequence[ResolvedColumn]) -> Iterator[_Wanted]:
    outcome = next((each for each in columns if each.decoder in OUTCOMES), None)
    if filters.failed:
        if outcome is None:
            yield "result", "failed", lambda _: False
        else:
            yield outcome.name, "failed", partial(_failed, outcome)
    if filters.errno is not None:
        of_result = next((each.name for each in columns if each.decoder == "result"), "result")
        yield of_result, "errno", partial(_equals, of_result, -filters.errno)


def _failed(column: ResolvedColumn, row: Row) -> bool:
    return is_failure(column, row[column.name])
