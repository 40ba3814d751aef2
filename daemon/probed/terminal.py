# SPDX-License-Identifier: Apache-2.0
"""Prints the commands' output on terminals, in pipes and in files.

Texts of other programs and people (an answer on a port, a source file, a path) may hold escape sequences, which a
terminal obeys. `show` prints such characters as escapes, and turns a failed write into OutputError.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

BROKEN_PIPE_STATUS = 141
"""Exit status of a program that SIGPIPE ends, as a shell shows it: 128 + 13."""


class OutputError(Exception):
    """A write to standard output or standard error failed."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.errno = error.errno or 0


def printable(text: str) -> str:
    """Return a text with every character that does not print as an escape, but for line ends and tabs."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8, as os.fsdecode returns one
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def show(text: str) -> None:
    """Print a text on standard output. Raises OutputError."""
    _print(text, sys.stdout)


def complain(text: str) -> None:
    """Print a text on standard error. Raises OutputError."""
    _print(text, sys.stderr)


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # the descriptor was closed before the start
        return
    encoding = stream.encoding or "utf-8"
    try:
        print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError as error:
        raise OutputError(error) from error


def run(command: Callable[[], int]) -> int:
    """Run a command and return its exit status: 141 for a closed pipe, 1 for other output errors."""
    try:
        return command()
    except OutputError as error:
        _discard_output()
        if error.errno == errno.EPIPE:
            return BROKEN_PIPE_STATUS
        with suppress(OSError):  # standard error may be the stream that fails
            os.write(2, f"probed: cannot write the output: {os.strerror(error.errno)}\n".encode())
        return 1


def _discard_output() -> None:
    """Let Python's flush at exit succeed."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
