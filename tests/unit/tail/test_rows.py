# SPDX-License-Identifier: Apache-2.0
"""Records taken apart by the layout of the event."""

from __future__ import annotations

import struct

from probed.ipc.manifest import Field, Record, ResolvedColumn
from probed.tail.rows import CUT, Appended, RowReader

EVENT = Record(
    40,
    (
        Field("time_ns", "u64", 0, 1),
        Field("comm", "char", 8, 4),
        Field("result", "s32", 12, 1),
        Field("kind", "u8", 16, 1),
        Field("path", "u32", 20, 1),
        Field("args", "u32", 24, 1),
        Field("hidden", "u64", 32, 1),
    ),
)


def column(name: str, decoder: str, field: str = "") -> ResolvedColumn:
    return ResolvedColumn(name, field or name, decoder, 10)


COLUMNS = (
    column("args", "args"),
    column("time", "time", "time_ns"),
    column("comm", "comm"),
    column("result", "result"),
    column("kind", "integer"),
    column("path", "text"),
)


def record(path: bytes, args: bytes, flags: int = 0) -> bytes:
    fixed = struct.pack("=Q4siB3xII4xQ", 7, b"sh\0\0", -2, 200, len(path) | flags, len(args), 9)
    return fixed + path + args


def test_a_row_has_the_value_of_each_column() -> None:
    row = RowReader(EVENT, COLUMNS).read(record(b"/a/path", b"sh\0-c\0"))
    assert row == {
        "time": 7,
        "comm": b"sh\0\0",
        "result": -2,
        "kind": 200,
        "path": Appended(b"/a/path", False),
        "args": Appended(b"sh\0-c\0", False),
    }


def test_appended_bytes_come_in_the_order_of_the_fields_whatever_the_order_of_the_columns() -> None:
    reader = RowReader(EVENT, (column("args", "args"), column("path", "text")))
    assert reader.read(record(b"first", b"second")) == {"path": Appended(b"first", False), "args": (b"second", False)}


def test_a_stack_comes_as_bytes() -> None:
    event = Record(40, (Field("stack", "u64", 0, 3), Field("size", "u32", 24, 1), Field("pad", "u32", 28, 3)))
    reader = RowReader(event, (column("stack", "kernel_stack"), column("size", "integer")))
    stack = struct.pack("=3Q", 2**64 - 1, 7, 0)
    assert reader.read(stack + struct.pack("=4I", 9, 0, 0, 0)) == {"stack": stack, "size": 9}


def test_a_cut_text_is_told() -> None:
    row = RowReader(EVENT, COLUMNS).read(record(b"/cut", b"x\0", CUT))
    assert row["path"] == Appended(b"/cut", True)
    assert row["args"] == Appended(b"x\0", False)
