# SPDX-License-Identifier: Apache-2.0
"""A limit of memory for a test's control group: by cgroup2, or by cgroup v1's memory hierarchy beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.cgroup2 import mount_point
from support.running_daemon import until

V1 = Path("/sys/fs/cgroup/memory")


@contextmanager
def limited_memory(group: Path, limit: int) -> Iterator[list[Path]]:
    """Limit a group of cgroup2 to `limit` bytes without swap; yield the groups that a process has to join.

    Skips the test without a memory controller.
    """
    root = mount_point()
    if "memory" in (root / "cgroup.controllers").read_text().split():
        for parent in reversed(group.relative_to(root).parents):
            (root / parent / "cgroup.subtree_control").write_text("+memory")
        _write(group, {"memory.max": limit, "memory.swap.max": 0})
        yield [group]
    elif (V1 / "memory.limit_in_bytes").exists():
        beside = V1 / group.name
        beside.mkdir()
        try:
            _write(beside, {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit})
            yield [group, beside]
        finally:
            until(lambda: removed(beside), f"{beside} is removed")
    else:
        pytest.skip("this test limits memory: the kernel has no memory controller")


def _write(group: Path, values: dict[str, int]) -> None:
    for name, value in values.items():
        with suppress(FileNotFoundError):  # a kernel without accounting of swap space
            (group / name).write_text(str(value))


def removed(group: Path) -> bool:
    """Try to remove a group of cgroup v1; return whether the group is gone."""
    with suppress(OSError):  # busy until the killed process is gone
        group.rmdir()
    return not group.exists()
