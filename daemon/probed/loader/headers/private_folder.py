# SPDX-License-Identifier: Apache-2.0
"""Folders for the compiler's headers, of which a killed loader leaves none for long: the next loader removes them.

The owner holds a lock on the folder; the kernel drops the lock when the owner ends, in any PID namespace. The
supervisor cannot clean up, because without CAP_DAC_OVERRIDE it removes nothing from a folder of the loader's user.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PREFIX = "probed-headers-"

YOUNGEST_LEFTOVER = 60.0
"""Seconds since the last change after which a folder without a lock is a leftover: a new one is locked at once."""


@contextmanager
def private_folder() -> Iterator[str]:
    """Make a folder for this process alone, removed at the end. Raises OSError."""
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as path:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(lock)


def remove_leftovers() -> None:
    """Remove the folders of this user's dead loaders. Raises OSError."""
    with os.scandir(tempfile.gettempdir()) as entries:
        paths = [entry.path for entry in entries if entry.name.startswith(PREFIX) and _may_be_leftover(entry)]
    for path in paths:
        _remove_without_owner(path)


def _may_be_leftover(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder of this user alone: no other user can put one there."""
    with suppress(FileNotFoundError):
        found = entry.stat(follow_symlinks=False)
        old = time.time() - found.st_mtime > YOUNGEST_LEFTOVER
        return stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077 and found.st_uid == os.geteuid() and old
    return False


def _remove_without_owner(path: str) -> None:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # another loader was faster
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # a loader compiles there
        return
    else:
        shutil.rmtree(path, ignore_errors=True)  # another loader may be removing the same files
    finally:
        os.close(lock)
