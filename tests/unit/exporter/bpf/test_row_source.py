# SPDX-License-Identifier: Apache-2.0
"""Rows of iterators: read to the end or to a bound, chosen and added up by C type."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.bpf import row_source
from probed.exporter.bpf.row_source import BUFFER, RowSource
from probed.ipc.manifest import Field, Record
from probed.linux import bpf

ROW = Record(24, (Field("used", "s64", 0, 1), Field("name", "char", 8, 8), Field("size", "u32", 16, 1),
                  Field("kind", "u32", 20, 1)))  # fmt: skip
LINK = 7


def rows(number: int) -> bytes:
    """Return rows that use -1, 0, 1 and so on, by turns of two kinds."""
    made = np.zeros(number, dtype(ROW))
    made["used"] = np.arange(number) - 1
    made["size"] = 3_000_000_000
    made["kind"] = np.arange(number) % 2
    return made.tobytes()


class Kernel:
    """An iterator that gives out its content in parts of any size, and then ends, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, content: bytes = b"", error: int = 0) -> None:
        self.content, self.error = content, error
        self.position = 0
        self.opened = list[int]()
        monkeypatch.setattr(bpf, "open_iterator", self._open)
        monkeypatch.setattr(os, "read", self._read)

    def _open(self, link: int) -> int:
        assert link == LINK
        self.position = 0
        self.opened.append(os.memfd_create("iterator"))
        return self.opened[-1]

    def _read(self, fd: int, most: int) -> bytes:
        assert fd == self.opened[-1]
        part = self.content[self.position : self.position + min(most, 1009, BUFFER)]
        self.position += len(part)
        if not part and self.error:
            raise OSError(self.error, os.strerror(self.error))
        return part

    def are_closed(self) -> bool:
        return not any(Path(f"/proc/self/fd/{fd}").exists() for fd in self.opened)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kernel]:
    return lambda *content: Kernel(monkeypatch, *content)


def test_all_rows_of_a_reading_are_there_and_those_before_are_gone(kernel: Callable[..., Kernel]) -> None:
    source, iterator = RowSource(LINK, ROW), kernel(rows(211))
    for number in (211, 103, 0):
        iterator.content = rows(number)
        assert source.read()
        found, ones = source.values(None, {})
        assert found["used"].tolist() == list(range(-1, number - 1))
        assert ones.tolist() == [1] * number
    assert (len(iterator.opened), iterator.are_closed()) == (3, True)


def test_a_member_of_chosen_rows_has_the_sign_of_its_c_type(kernel: Callable[..., Kernel]) -> None:
    source, _ = RowSource(LINK, ROW), kernel(rows(7))
    assert source.read()
    found, used = source.values("used", {"kind": 0})
    assert found["kind"].tolist() == [0] * 4
    assert (used.tolist(), str(used.dtype)) == ([-1, 1, 3, 5], "int64")
    _, sizes = source.values("size", {"kind": 1, "used": 2})
    assert (sizes.tolist(), str(sizes.dtype)) == ([3_000_000_000], "uint64")
    assert source.values("size", {"kind": 2})[1].tolist() == []


@pytest.mark.parametrize(("number", "is_whole"), [(40, True), (41, True), (42, False), (97, False)])
def test_a_reading_ends_at_the_bound_with_whole_rows(
    kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch, number: int, is_whole: bool
) -> None:
    monkeypatch.setattr(row_source, "MOST_ROW_BYTES", 41 * ROW.size + 5)
    source, iterator = RowSource(LINK, ROW), kernel(rows(number))
    assert source.read() == is_whole
    assert len(source.values(None, {})[0]) == min(number, 41)
    assert iterator.are_closed()


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EOPNOTSUPP])
def test_a_reading_that_the_kernel_ends_early_has_the_rows_before(kernel: Callable[..., Kernel], error: int) -> None:
    source, _ = RowSource(LINK, ROW), kernel(rows(31), error)
    assert not source.read()
    assert len(source.values(None, {})[0]) == 31


def test_another_error_is_the_owners(kernel: Callable[..., Kernel]) -> None:
    source, iterator = RowSource(LINK, ROW), kernel(rows(31), errno.E2BIG)
    with pytest.raises(OSError, match="Argument list too long"):
        source.read()
    assert iterator.are_closed()
