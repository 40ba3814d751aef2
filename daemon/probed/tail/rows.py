# SPDX-License-Identifier: Apache-2.0
"""From a record of a trace probe to the values of its columns. Pure.

`command` makes one `RowReader` for a loaded trace probe. `cells` turns values into text.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from probed.config.declaration.columns import COLUMN_DECODERS
from probed.ipc.manifest import Field, Record, ResolvedColumn

CUT: Final = 1 << 31
"""Bit of a length, when bytes are missing: the macro of probes/include/probed.bpf.h."""

_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "s8": "b", "s16": "h", "s32": "i", "s64": "q"}


class Appended(NamedTuple):
    """Bytes behind the event; `is_cut` where the kernel part left some out."""

    data: bytes
    is_cut: bool


Value: TypeAlias = int | bytes | Appended
"""Value of a column: a number, a char array, or bytes behind the event."""

Row: TypeAlias = Mapping[str, Value]
"""Values by column."""


class RowReader:
    """Takes records apart by the layout of the event."""

    def __init__(self, event: Record, columns: tuple[ResolvedColumn, ...]) -> None:
        """`event` has the field of each column."""
        order = {field.name: at for at, field in enumerate(event.fields)}
        self._struct = struct.Struct("=" + _codes(event))
        self._size = event.size
        self._fixed = [(each.name, order[each.field]) for each in columns if not _is_length(each)]
        lengths = sorted((each for each in columns if _is_length(each)), key=lambda each: order[each.field])
        self._lengths = [(each.name, order[each.field]) for each in lengths]

    def read(self, record: bytes) -> Row:
        """Return the values of one record."""
        fields = self._struct.unpack_from(record)
        row: dict[str, Value] = {name: fields[at] for name, at in self._fixed}
        start = self._size
        for name, at in self._lengths:
            end = start + (fields[at] & ~CUT)
            row[name] = Appended(record[start:end], bool(fields[at] & CUT))
            start = end
        return row


def _is_length(column: ResolvedColumn) -> bool:
    return COLUMN_DECODERS[column.decoder].reads == "length"


def _codes(event: Record) -> str:
    """Return the format of the event for `struct`, with gaps as padding."""
    codes, end = "", 0
    for field in event.fields:
        codes += f"{field.offset - end}x{_code(field)}"
        end = field.offset + struct.calcsize("=" + _code(field))
    return codes


def _code(field: Field) -> str:
    return f"{field.size}s" if field.is_bytes else _CODES[field.type]
