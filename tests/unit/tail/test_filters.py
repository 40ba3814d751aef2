# SPDX-License-Identifier: Apache-2.0
"""Filters as constants for the kernel, and as a predicate of rows."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from probed.errors import HostError
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context
from probed.ipc.loader_messages import ANY, TraceConstants
from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import cell_decoder
from probed.tail.filters import check, constants, name_constants, predicate
from probed.tail.options import Filters, TailOptions
from probed.tail.rows import Row
from support.running_daemon import PROBES

COLUMNS = tuple(
    ResolvedColumn(name, name, decoder, 10)
    for name, decoder in {
        "unit": "cgroup_unit", "comm": "comm", "pid": "integer", "result": "result", "lifetime": "duration",
    }.items()
)  # fmt: skip
CONSTANT = r"(?m)^CONSTANT\((\w+), (ANY|\d+)\);"
"""A constant in the header with its default."""

ROW: Row = {"unit": 7, "comm": b"make\0\0\0\0", "pid": 41, "result": -2, "lifetime": 5_000_000}


def passes(filters: Filters, row: Row = ROW) -> bool:
    context = Context(lambda number: Attribution(f"unit-{number}.service", ""))
    decoders = {column.name: cell_decoder(column, context, 0) for column in COLUMNS}
    return predicate(filters, COLUMNS, decoders)(row)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), True),
        (Filters(unit="unit-?.service"), True),
        (Filters(unit="unit-8.*"), False),
        (Filters(comm="m*"), True),
        (Filters(comm="M*"), False),
        (Filters(pid=41), True),
        (Filters(pid=42), False),
        (Filters(failed=True), True),
        (Filters(errno=2), True),
        (Filters(errno=13), False),
        (Filters(min_lifetime=5_000_000), True),
        (Filters(min_lifetime=5_000_001), False),
        (Filters(comm="make", pid=42), False),
    ],
)
def test_a_row_passes_if_all_filters_hold(filters: Filters, expected: bool) -> None:
    assert passes(filters) is expected


def test_a_success_is_no_failure() -> None:
    assert not passes(Filters(failed=True), {**ROW, "result": 3})


@pytest.mark.parametrize(
    ("filters", "option"), [(Filters(parent="sh"), "--parent"), (Filters(uid=0), "--uid"), (Filters(ppid=1), "--ppid")]
)
def test_a_filter_without_a_column_is_an_error(filters: Filters, option: str) -> None:
    with pytest.raises(HostError, match=f"{option} does not apply: trace probe 'trace' has no column"):
        check(filters, "trace", COLUMNS)


def test_numbers_are_constants() -> None:
    filters = Filters(uid=0, pid=7, ppid=1, failed=True, errno=24, min_lifetime=10**7)
    assert constants(TailOptions(filters, all=True)) == TraceConstants(
        only_uid=0, only_pid=7, only_ppid=1, only_failed=1, only_errno=24, least_lifetime_ns=10**7, with_all=1
    )


def test_without_a_filter_all_constants_have_their_defaults() -> None:
    assert constants(TailOptions()) == TraceConstants()
    assert constants(TailOptions(Filters(unit="a.service", comm="*x"))) == TraceConstants()


def test_a_name_is_compared_as_comm_or_as_parent() -> None:
    assert constants(TailOptions(Filters(comm="sh", parent="ma*"))) == TraceConstants(
        comm_mask_0=0xFFFFFF, comm_word_0=int.from_bytes(b"sh", "little"),
        parent_mask_0=0xFFFF, parent_word_0=int.from_bytes(b"ma", "little"),
    )  # fmt: skip


def test_the_header_has_the_same_constants_with_the_same_defaults() -> None:
    header = (PROBES / "include/probed.bpf.h").read_text()
    found = {name: ANY if default == "ANY" else int(default) for name, default in re.findall(CONSTANT, header)}
    assert found == TraceConstants().by_name()


def kernel_matches(glob: str, comm: bytes) -> bool:
    """Compare as has_name() of probes/include/probed.bpf.h does."""
    constants = name_constants("comm", glob)
    mask_0, word_0, mask_1, word_1 = (constants[f"comm_{each}"] for each in ("mask_0", "word_0", "mask_1", "word_1"))
    comm = comm.ljust(16, b"\0")
    halves = int.from_bytes(comm[:8], "little"), int.from_bytes(comm[8:], "little")
    return not (halves[0] ^ word_0) & mask_0 and not (halves[1] ^ word_1) & mask_1


@pytest.mark.parametrize("glob", ["make", "make*", "m*", "a-name-of-15-ch", "eight-ch", "eight-ch*", "nine-char"])
@pytest.mark.parametrize("comm", ["make", "makeinfo", "m", "a-name-of-15-ch", "eight-ch", "eight-cha", "nine-char"])
def test_the_kernel_compares_names_as_the_predicate_does(glob: str, comm: str) -> None:
    assert kernel_matches(glob, comm.encode()) is fnmatchcase(comm, glob)


def test_bytes_behind_the_end_of_a_name_do_not_matter() -> None:
    assert kernel_matches("make", b"make\0info")


@pytest.mark.parametrize("glob", [None, "", "*x", "a?", "[ab]", "a*b", "a-name-of-16-chs", "nämé", "a\\b"])
def test_other_globs_are_no_constants(glob: str | None) -> None:
    assert name_constants("comm", glob) == {}
