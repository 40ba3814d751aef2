# SPDX-License-Identifier: Apache-2.0
"""A program at an iterator as a source of gauges: the rows that it emits at a scrape.

`probe_sources` owns one for each such program. The kernel runs the program for each object of a kind while the exporter
reads, and keeps no rows. A reading ends after `MOST_ROW_BYTES`, or where the kernel ends it: time and memory are
bounded.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.arrays.ndarray import NDArray
from probed.ipc.manifest import MOST_ROW_BYTES, Record
from probed.linux import bpf

BUFFER = 1 << 15
"""Most bytes that one read returns: Linux kernel/bpf/bpf_iter.c, bpf_seq_read()."""

ENDED_BY_KERNEL = (errno.EAGAIN, errno.EOPNOTSUPP)
"""Errors of a read before the last object: after a million objects without a row (EAGAIN), and of control groups after
one buffer (EOPNOTSUPP). Sources: Linux kernel/bpf/bpf_iter.c and cgroup_iter.c."""


class RowSource:
    """One program. Its owner calls `read`, then `values` for each gauge."""

    def __init__(self, link: int, row: Record) -> None:
        """`link` is the fd of the attached program, which stays the owner's."""
        self._link = link
        self._types = {field.name: field.type for field in row.fields}
        self._dtype = dtype(row)
        self._rows: NDArray[Any] = np.zeros(0, self._dtype)

    def read(self) -> bool:
        """Run the program; return whether the reading ended after the last object, and not before. Raises OSError."""
        iterator = bpf.open_iterator(self._link)
        try:
            taken, is_whole = _taken(iterator, MOST_ROW_BYTES // self._dtype.itemsize * self._dtype.itemsize)
        finally:
            os.close(iterator)
        self._rows = np.frombuffer(taken, self._dtype)
        return is_whole

    def values(self, member: str | None, when: Mapping[str, int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows that `when` chooses, shape (n,), and a member of each, int64 or uint64: 1 for None."""
        rows = self._rows
        for name, value in when.items():
            rows = rows.compress(rows[name] == value)
        if member is None:
            return rows, np.ones(len(rows), np.int64)
        return rows, rows[member].astype(np.int64 if self._types[member].startswith("s") else np.uint64)


def _taken(iterator: int, most: int) -> tuple[bytes, bool]:
    """Return at most so many bytes of an iteration, and whether there were no more. Raises OSError."""
    parts, left = list[bytes](), most
    try:
        while part := os.read(iterator, min(BUFFER, left + 1)):
            parts.append(part[:left])
            if len(part) > left:
                return b"".join(parts), False
            left -= len(part)
    except OSError as error:
        if error.errno not in ENDED_BY_KERNEL:
            raise
        return b"".join(parts), False
    return b"".join(parts), True
