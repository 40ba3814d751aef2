# SPDX-License-Identifier: Apache-2.0
"""The columns of a trace probe, and the decoders that a column may name.

`probe` and `loader.resolve` check with this module, and `commands.decoder_docs` makes tables for documents. The
code of these decoders is in `probed.tail.cells`; the other decoders are those of labels, of which `enum` has an
argument.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

from probed.config.declaration.decoders import DECODERS, Decoder, table_faults
from probed.config.declaration.scalars import CName, Constant
from probed.frozen import frozen
from probed.schema.rules import NOT_EMPTY_MAPPING, Line, between
from probed.schema.structure import Fault, Given, Key, pattern

MOST_WIDTH: Final = 200


def declares_columns(declaration: str) -> bool:
    """Say whether the YAML text of a declaration, right or wrong, is that of a trace probe."""
    return re.search("^columns:", declaration, re.MULTILINE) is not None


ColumnDecoderName: TypeAlias = Literal[
    "time",
    "duration",
    "result",
    "exit_status",
    "open_flags",
    "text",
    "args",
    "comm",
    "string",
    "dname",
    "errno",
    "syscall",
    "signal",
    "integer",
    "hex",
    "enum",
    "cgroup_unit",
    "pod_uid",
    "uid",
    "ip",
    "block_device",
    "network_interface",
    "kernel_symbol",
    "kernel_stack",
]

OF_COLUMNS: Final[Mapping[str, Decoder]] = {
    "time": Decoder("u64", "`u64`, from `bpf_ktime_get_boot_ns()`", "the time of day; in JSON date and time in UTC"),
    "duration": Decoder("u64", "`u64`, nanoseconds", "the duration, as `1.234ms`; in JSON seconds"),
    "result": Decoder("integer", "an integer, negative for an errno", "the number, or the errno's name, as `ENOENT`"),
    "exit_status": Decoder("integer", "a status of wait4(2)", "the exit code, or the signal, as `SIGSEGV (core)`"),
    "open_flags": Decoder("integer", "the flags of open(2)", "their names, as `O_WRONLY|O_CREAT`"),
    "text": Decoder("length", "`u32`, from `append_…`", "the bytes behind the event; unprintable bytes as `\\xNN`"),
    "args": Decoder("length", "`u32`, from `append_…`", "arguments, each with its NUL; in JSON a list"),
}
"""Decoders that only columns may name."""

COLUMN_DECODERS: Final[Mapping[str, Decoder]] = {**OF_COLUMNS, **{str(name): each for name, each in DECODERS.items()}}


ColumnName = Annotated[str, pattern("[a-z][a-z0-9_]*", "a column's name (lower-case letters, digits and '_')")]
Width = Annotated[int, between(0, MOST_WIDTH, "characters")]


@frozen
class Column:
    """One column of a trace probe; the key in the declaration is the name."""

    at: Given[Key]
    field: Annotated[CName, "The field of 'struct event'."]
    decoder: Annotated[
        ColumnDecoderName, "The decoder of the text: enum, one of labels without an argument, or a column's."
    ]
    table: Annotated[
        Mapping[Constant, Line],
        "For the decoder enum: enum constant of the C, or integer, to text.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    width: Annotated[Width, "Characters in a table, 0 for JSON only; the last column takes the rest of the line."] = 12

    def check(self) -> Iterator[Fault]:
        """Yield a table of another decoder, and the faults of one."""
        yield from table_faults(self.decoder, self.table)
