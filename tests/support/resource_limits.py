# SPDX-License-Identifier: Apache-2.0
"""Control groups that limit processes or memory, in the cgroup version with the controller."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from support.running_daemon import until

UNLIMITED: Final = "max"
_FILES: Final = {"pids": ("pids.max", "pids.max"), "memory": ("memory.limit_in_bytes", "memory.max")}
"""The files of a controller's limit in version 1 and 2 of cgroups."""


class Limit:
    """A control group with a limit on its processes."""

    def __init__(self, group: Path, file: str) -> None:
        self._group = group
        self._file = file

    def hold(self, *pids: int) -> None:
        """Move processes into the group; children follow."""
        for pid in pids:
            (self._group / "cgroup.procs").write_text(str(pid))

    def set(self, limit: int | str) -> None:
        """Set the limit, in processes or bytes, or UNLIMITED."""
        unlimited = "-1" if limit == UNLIMITED and self._file == "memory.limit_in_bytes" else str(limit)
        (self._group / self._file).write_text(unlimited)

    def processes(self) -> list[int]:
        """Return the process ids in the group."""
        return list(map(int, (self._group / "cgroup.procs").read_text().split()))


@contextmanager
def limited(controller: str) -> Iterator[Limit]:
    """Make a control group with a controller; remove the group once empty."""
    parent, file = _place(controller)
    group = parent / f"probed-fault-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        yield Limit(group, file)
    finally:
        with suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                (parent / "cgroup.procs").write_text(pid)
        until(lambda: _removed(group), f"{group} is removed")


def _place(controller: str) -> tuple[Path, str]:
    """Return the parent folder: this process's own group. Source: proc_pid_mountinfo(5), cgroups(7)."""
    first, second = _FILES[controller]
    mine = {names: path for _, names, path in (line.split(":", 2) for line in _lines("/proc/self/cgroup"))}
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        where = Path(before.split()[4])
        if kind == "cgroup" and controller in options.split(","):
            return where / mine.get(controller, "/").lstrip("/"), first
        if kind == "cgroup2" and controller in (where / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # then the root cannot delegate the controller
                (where / "cgroup.subtree_control").write_text(f"+{controller}")
                return where, second
    pytest.skip(f"no version of cgroups limits {controller} here")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _removed(group: Path) -> bool:
    with suppress(OSError):
        group.rmdir()
    return not group.exists()
