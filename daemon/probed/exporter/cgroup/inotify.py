# SPDX-License-Identifier: Apache-2.0
"""inotify(7), which Python's library does not have: the kernel's notes on new and removed entries of folders.

`kubelet_logs` uses it. Numbers are those of Linux include/uapi/linux/inotify.h, and of system calls on x86-64.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final

from probed.frozen import frozen
from probed.linux import syscalls

INIT1: Final = 294
ADD_WATCH: Final = 254

MOVED_FROM, MOVED_TO, CREATED, DELETED, DELETED_SELF, MOVED_SELF = (1 << bit for bit in range(6, 12))
OVERFLOWED: Final = 1 << 14
IGNORED: Final = 1 << 15
ONLY_FOLDERS: Final = 1 << 24

ENTRIES: Final = MOVED_FROM | MOVED_TO | CREATED | DELETED | DELETED_SELF | MOVED_SELF | ONLY_FOLDERS

READ_BYTES: Final = 1 << 16
"""Bytes of one read: some 300 notes with long names."""

_HEADER: Final = struct.Struct("iIII")


@frozen
class Note:
    """One struct inotify_event: `watch` is the number from `add`, -1 with OVERFLOWED; `name` is the entry's."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify instance, open until the process ends."""

    def __init__(self) -> None:
        """Make the instance. Raises OSError: EMFILE where the user has fs.inotify.max_user_instances already."""
        self._fd = syscalls.syscall(INIT1, os.O_NONBLOCK | os.O_CLOEXEC)

    def add(self, folder: str) -> int:
        """Watch the entries of a folder; return the number of the watch. Raises OSError."""
        path = ctypes.create_string_buffer(os.fsencode(folder))
        return syscalls.syscall(ADD_WATCH, self._fd, ctypes.addressof(path), ENTRIES)

    def read(self) -> list[Note]:
        """Take waiting notes, oldest first, READ_BYTES at most; return none where none wait."""
        try:
            return list(parse(os.read(self._fd, READ_BYTES)))
        except BlockingIOError:
            return []


def parse(data: bytes) -> Iterator[Note]:
    """Yield the notes in the bytes of a read, which holds whole ones only."""
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        name = data[at : at + length].split(b"\0", 1)[0]
        at += length
        yield Note(watch, mask, os.fsdecode(name))
