# SPDX-License-Identifier: Apache-2.0
"""A path is a cgroup's only if the kernel says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from probed.errors import HostError
from probed.evidence.cgroup_check import unit_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a host with one service below its cgroup2 hierarchy."""
    (tmp_path / "proc/self").mkdir(parents=True)
    line = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "proc/self/mountinfo").write_text(line)
    (tmp_path / "sys/fs/cgroup/system.slice/media.service").mkdir(parents=True)
    return tmp_path


PATH = "/system.slice/media.service"


def number(root: Path) -> int:
    return (root / f"sys/fs/cgroup{PATH}").stat().st_ino


def test_the_unit_comes_from_a_path_with_the_right_id(root: Path) -> None:
    assert unit_of(PATH, number(root), root) == "media.service"


def test_in_a_cgroup_namespace_the_end_of_the_path_counts(root: Path) -> None:
    assert unit_of(f"/machine.slice/pid-7.scope{PATH}", number(root), root) == "media.service"


def test_a_path_with_another_id_is_refused(root: Path) -> None:
    with pytest.raises(HostError, match="no control group at"):
        unit_of(PATH, number(root) + 1, root)


def test_a_removed_cgroup_is_refused(root: Path) -> None:
    with pytest.raises(HostError, match="it may have gone"):
        unit_of("/system.slice/gone.service", number(root), root)


def test_a_link_is_not_followed(root: Path) -> None:
    (root / "sys/fs/cgroup/link").symlink_to(root / f"sys/fs/cgroup{PATH}")
    with pytest.raises(HostError, match="no control group at"):
        unit_of("/link", number(root), root)


def test_a_host_without_cgroup2_is_refused(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("")
    with pytest.raises(HostError, match="no cgroup2 hierarchy"):
        unit_of(PATH, 1, tmp_path)
