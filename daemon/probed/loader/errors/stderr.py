# SPDX-License-Identifier: Apache-2.0
"""Captures file descriptor 2, to which BCC, clang and libbpf write the reasons of a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from probed.ipc import loader_output
from probed.linux import memfd


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Capture file descriptor 2; at the end the list holds the text.

    Within a loader the descriptor is the memory that the supervisor reads after a crash, so the text stays there until
    the end of the context. Elsewhere the descriptor leads to such memory meanwhile.
    """
    texts: list[str] = []
    saved = os.dup(2)
    if not memfd.is_called(2, loader_output.NAME):
        redirect(loader_output.create())
    begin = os.lseek(2, 0, os.SEEK_END)
    try:
        yield texts
    finally:
        texts.append(os.pread(2, os.fstat(2).st_size - begin, begin).decode(errors="replace"))
        os.ftruncate(2, begin)
        os.lseek(2, begin, os.SEEK_SET)
        os.dup2(saved, 2)
        os.close(saved)


def redirect(fd: int) -> None:
    """Make descriptor 2 a copy of `fd`, and close `fd`."""
    os.dup2(fd, 2)
    os.close(fd)
