# SPDX-License-Identifier: Apache-2.0
"""Column decoders: from a value to the text of a table's cell and to the value in JSON.

The text has printable characters only: other bytes are escapes, and a backslash is two, so that no argument or path can
imitate another or command a terminal. In JSON, a byte that is not UTF-8 is a lone surrogate, U+DC00 and the byte:
Python's error handler `surrogateescape` turns the text back into the same bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from probed.exporter.decoders import Context, decoder
from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.errnos import errno_name
from probed.exporter.decoders.signals import signal_name
from probed.frozen import frozen
from probed.ipc.manifest import ResolvedColumn, ResolvedLabel
from probed.tail.rows import Appended, Value

CUT_MARK: Final = "[cut]"
"""End of a text with bytes missing."""

_ACCESS: Final = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}

_FLAGS: Final = {
    "O_CREAT": os.O_CREAT, "O_EXCL": os.O_EXCL, "O_NOCTTY": os.O_NOCTTY, "O_TRUNC": os.O_TRUNC,
    "O_APPEND": os.O_APPEND, "O_NONBLOCK": os.O_NONBLOCK, "O_SYNC": os.O_SYNC, "O_DSYNC": os.O_DSYNC,
    "O_ASYNC": os.O_ASYNC, "O_DIRECT": os.O_DIRECT, "O_LARGEFILE": 0o100000, "O_TMPFILE": os.O_TMPFILE,
    "O_DIRECTORY": os.O_DIRECTORY, "O_NOFOLLOW": os.O_NOFOLLOW, "O_NOATIME": os.O_NOATIME,
    "O_CLOEXEC": os.O_CLOEXEC, "O_PATH": os.O_PATH,
}  # fmt: skip
"""Flags of open(2); O_SYNC contains O_DSYNC, O_TMPFILE contains O_DIRECTORY. Source: asm-generic/fcntl.h of Linux."""

CORE: Final = 0x80
"""Bit of a status of wait4(2): the process left a core dump."""


@frozen
class CellDecoder:
    """Both forms of a column's value."""

    text: Callable[[Any], str]
    json: Callable[[Any], object]


def cell_decoder(column: ResolvedColumn, context: Context, boot_time_ns: int) -> CellDecoder:
    """Return the decoder of a column; `boot_time_ns` is the machine's start, in nanoseconds since the epoch."""
    if column.decoder == "time":
        return CellDecoder(
            lambda value: time.strftime("%H:%M:%S", time.localtime((boot_time_ns + value) // 10**9)),
            lambda value: _utc(boot_time_ns + value),
        )
    if column.decoder in _OF_COLUMNS:
        return _OF_COLUMNS[column.decoder]
    if column.decoder == "integer":
        return CellDecoder(str, int)
    decode = decoder(ResolvedLabel(column.name, column.field, column.decoder, column.table), context)
    return CellDecoder(lambda value: decode(value) or "", decode)


def _utc(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09}Z"


def duration(nanoseconds: int) -> str:
    """Return a duration with four digits at most: ``87us``, ``1.234ms``, ``12.5s``."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.4g}{unit}" if nanoseconds < 10**4 * size else f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns"


def result(value: int) -> str | int:
    """Return the errno's name of a negative number, other numbers as they are."""
    return errno_name(value) if value < 0 else value


def exit_status(status: int) -> str | int:
    """Return the exit code, or the name of the signal, of a status of wait4(2)."""
    number = status & 0x7F
    if not number:
        return status >> 8 & 0xFF
    return f"{signal_name(number)} (core)" if status & CORE else signal_name(number)


def open_flags(flags: int) -> str:
    """Return the names of flags of open(2); the rest as a number."""
    names = [_ACCESS.get(flags & os.O_ACCMODE, "O_ACCMODE")]
    rest = flags & ~os.O_ACCMODE
    for name, bits in sorted(_FLAGS.items(), key=lambda each: -each[1].bit_count()):
        if rest & bits == bits:
            names.append(name)
            rest &= ~bits
    return "|".join([*names, *([hex(rest)] if rest else [])])


def arguments(value: Appended) -> list[bytes]:
    """Return the arguments, of which each ends with a NUL; the last of a cut list may have none."""
    return value.data.removesuffix(b"\0").split(b"\0") if value.data else []


def utf8(data: bytes) -> str:
    """Return bytes as text from which `surrogateescape` makes the same bytes. Source: PEP 383."""
    return data.decode("utf-8", "surrogateescape")


def _arguments_text(value: Appended) -> str:
    shown = [_quoted(text(each)) for each in arguments(value)]
    return " ".join([*shown, CUT_MARK] if value.is_cut else shown)


def _quoted(argument: str) -> str:
    """Put an empty argument, or one with blanks or quotes, into quotes."""
    if argument and not any(each in argument for each in " \"'"):
        return argument
    return '"' + argument.replace('"', '\\"') + '"'


def _path_text(value: Appended) -> str:
    return text(value.data) + (f" {CUT_MARK}" if value.is_cut else "")


_OF_COLUMNS: Final[Mapping[str, CellDecoder]] = {
    "duration": CellDecoder(duration, lambda value: value / 10**9),
    "result": CellDecoder(lambda value: str(result(value)), result),
    "exit_status": CellDecoder(lambda value: str(exit_status(value)), exit_status),
    "open_flags": CellDecoder(open_flags, open_flags),
    "text": CellDecoder(_path_text, lambda value: utf8(value.data)),
    "args": CellDecoder(_arguments_text, lambda value: [utf8(each) for each in arguments(value)]),
}


def is_failure(column: ResolvedColumn, value: Value) -> bool:
    """Say whether a column shows a failure: a negative result, or an exit other than 0."""
    return isinstance(value, int) and (value < 0 if column.decoder == "result" else value != 0)
