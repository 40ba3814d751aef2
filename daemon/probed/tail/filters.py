# SPDX-License-Identifier: Apache-2.0
"""Filters of `probed tail`: macros for the programs in the kernel, and a predicate for rows. Pure.

The kernel compares names by whole or by beginning (``make*``), numbers, errnos and lifetimes. Units have names only in
this process, and other globs (``*-worker``) are compared here. The predicate repeats each filter, so a trace probe of a
site may leave the macros out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

from probed.digests import digest
from probed.errors import HostError
from probed.ipc.loader_messages import LoadRequest
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


def macros(options: TailOptions) -> dict[str, str]:
    """Return the macros of probes/include/probed.bpf.h for the filters that the kernel can apply."""
    filters = options.filters
    found = {f"ONLY_{name.upper()}": getattr(filters, name) for name in NUMBERS}
    found |= {"ONLY_ERRNO": filters.errno, "LEAST_LIFETIME_NS": filters.min_lifetime}
    defined = {name: f"{value}UL" for name, value in found.items() if value is not None}
    for name in ("comm", "parent"):
        words = name_words(getattr(filters, name))
        if words:
            defined[f"ONLY_{name.upper()}"] = words
    if filters.failed:
        defined["ONLY_FAILED"] = "1"
    if options.all:
        defined["ALL"] = "1"
    return defined


def with_macros(request: LoadRequest, defined: Mapping[str, str]) -> LoadRequest:
    """Put macros in front of the common C of a trace probe."""
    lines = [f"#define {name} {value}" for name, value in defined.items()]
    if not lines:
        return request
    header = replace(request.header, text="\n".join([*lines, "#line 1", request.header.text]))
    inputs = "\0".join([request.fingerprint, *lines])
    return replace(request, header=header, fingerprint=digest(inputs.encode()))


def name_words(glob: str | None) -> str:
    """Return a glob as two masks and words of a comm, "" for one that the kernel cannot compare.

    A whole name ends with its NUL: older kernels leave bytes of an earlier name behind.
    """
    found = re.fullmatch(r"([A-Za-z0-9_.:/@+ -]{1,15})(\*?)", glob or "")
    if found is None:
        return ""
    name = found[1].encode() + (b"" if found[2] else b"\0")
    mask = (b"\xff" * len(name)).ljust(COMM_BYTES, b"\0")
    name = name.ljust(COMM_BYTES, b"\0")
    words = (int.from_bytes(each[at : at + 8], "little") for at in (0, 8) for each in (mask, name))
    return ", ".join(f"{word:#x}UL" for word in words)


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
