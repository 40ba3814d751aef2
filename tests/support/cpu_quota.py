# SPDX-License-Identifier: Apache-2.0
"""A CPU quota for a test's control group: by cgroup2, or by cgroup v1's hierarchy of CPU time beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.cgroup2 import mount_point
from support.memory_cgroup import removed
from support.running_daemon import until

V1 = Path("/sys/fs/cgroup/cpu")


@dataclass(frozen=True)
class Throttling:
    """The kernel's counters of a group with a quota. Source: Linux Documentation/scheduler/sched-bwc.rst."""

    periods: int
    throttled_periods: int
    throttled_seconds: float


@dataclass(frozen=True)
class Quota:
    """A quota: the groups that a process has to join, and the one with the counters."""

    groups: list[Path]

    @property
    def is_of_cgroup2(self) -> bool:
        """Whether the quota is in the hierarchy that has the names of units."""
        return len(self.groups) == 1

    def read(self) -> Throttling:
        """Read the kernel's counters."""
        rows = (line.split() for line in (self.groups[-1] / "cpu.stat").read_text().splitlines())
        stat = {name: int(value) for name, value in rows}
        seconds = stat["throttled_usec"] / 1e6 if self.is_of_cgroup2 else stat["throttled_time"] / 1e9
        return Throttling(stat["nr_periods"], stat["nr_throttled"], seconds)


@contextmanager
def limited_cpu(group: Path, quota_us: int, period_us: int) -> Iterator[Quota]:
    """Limit a group of cgroup2 to `quota_us` of CPU time in each `period_us`.

    Skips the test without a controller of CPU time.
    """
    root = mount_point()
    if "cpu" in (root / "cgroup.controllers").read_text().split():
        for parent in reversed(group.relative_to(root).parents):
            (root / parent / "cgroup.subtree_control").write_text("+cpu")
        (group / "cpu.max").write_text(f"{quota_us} {period_us}")
        yield Quota([group])
    elif (V1 / "cpu.shares").exists():
        beside = V1 / group.name
        beside.mkdir()
        try:
            (beside / "cpu.cfs_period_us").write_text(str(period_us))
            (beside / "cpu.cfs_quota_us").write_text(str(quota_us))
            yield Quota([group, beside])
        finally:
            until(lambda: removed(beside), f"{beside} is removed")
    else:
        pytest.skip("this test limits CPU time: the kernel has no controller of CPU time")
