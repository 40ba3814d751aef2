# SPDX-License-Identifier: Apache-2.0
"""The loader's standard error: memory that outlives the loader, so that a crash has a reason.

BCC, clang and libbpf write their errors there. `loader_process` makes the memory and reads the rest at the loader's
end; within the loader `loader.errors.stderr` takes the text of an error that the loader itself reports.
"""

from __future__ import annotations

import os
import re

from probed.errors import Reason
from probed.terminal import printable

NAME = "probed-loader-stderr"
"""Name of the memory file, by which the loader recognises its standard error."""

MAX_BYTES = 64 << 10
MAX_LINES = 20
MAX_COLUMNS = 300

_ERROR = r"(?m)^(.+?):(\d+):\d+: (?:fatal )?error: (.*)$"

_STACK_DUMP = r"(?m)^(?:PLEASE submit a bug report|Stack dump:)"
"""Begin of the text that LLVM writes on a crash."""

_AT = r"(?m)^\d+\.\t(?:(.+?:\d+):\d+: )?(.*)$"
"""An entry of LLVM's stack dump: the place in the C, if any, and the compiler's work there."""


def create() -> int:
    """Return an empty memory file. Raises OSError."""
    return os.memfd_create(NAME)


def take(fd: int) -> str:
    """Return the end of the text, with escapes for characters that do not print, and close the descriptor."""
    try:
        begin = max(os.fstat(fd).st_size - MAX_BYTES, 0)
        return printable(os.pread(fd, MAX_BYTES, begin).decode(errors="backslashreplace"))
    finally:
        os.close(fd)


def c_mistakes(output: str) -> list[str]:
    """Return clang's errors, each as file, line and text, without repetitions."""
    return list(dict.fromkeys(f"{path}:{line}: {text}" for path, line, text in re.findall(_ERROR, output)))


def crash(output: str) -> tuple[Reason, str]:
    """Return the reason of a crash, and the end of the sentence that reports it.

    The text has the mistakes that the compiler had reported, because some versions of BCC crash on those; without any,
    the place where the compiler was, and the last lines.
    """
    found = re.search(_STACK_DUMP, output)
    text, dump = (output[: found.start()], output[found.start() :]) if found else (output, "")
    mistakes = c_mistakes(text)
    places = [f"{place}: {work}" if place else work for place, work in re.findall(_AT, dump)]
    if mistakes:
        return "compile", _lines("the compiler had reported", mistakes)
    last = text.strip().splitlines()[-MAX_LINES:]
    ending = _lines("the compiler was at", places) + _lines("its last lines", last)
    return "compile" if places else "internal", ending


def _lines(title: str, lines: list[str]) -> str:
    return "\n".join([f"; {title}:", *(line[:MAX_COLUMNS] for line in lines[:MAX_LINES])]) if lines else ""
