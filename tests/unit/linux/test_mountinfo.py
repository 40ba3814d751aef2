# SPDX-License-Identifier: Apache-2.0
"""Mounts with any name that the kernel permits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from probed.linux.mountinfo import Mount, cgroup2_mount_point, mounts


def mounted(root: Path, lines: str | bytes) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_bytes(lines.encode() if isinstance(lines, str) else lines)
    return root


def test_a_mount_has_its_folder_its_point_and_its_type(tmp_path: Path) -> None:
    line = r"32 25 0:28 /a\134b /mnt/c\040d rw shared:9 - ext4 /dev/vda rw"
    assert list(mounts(mounted(tmp_path, f"{line}\n"))) == [Mount(r"/a\b", "/mnt/c d", "ext4")]


@pytest.mark.parametrize("name", [b"caf\xe9", "a\u2028b".encode(), "a\u3000b\x85".encode(), b"a\x0bb\x1c"])
def test_any_name_of_a_mount_point_is_read_and_ends_nothing(tmp_path: Path, name: bytes) -> None:
    odd = b"31 25 0:27 / /mnt/" + name + b" rw - ext4 /dev/vda rw\n"
    cgroup = b"30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    mounted(tmp_path, odd + cgroup)
    assert [os.fsencode(mount.point) for mount in mounts(tmp_path)] == [b"/mnt/" + name, b"/sys/fs/cgroup"]
    assert cgroup2_mount_point(tmp_path) == tmp_path / "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "sys/fs/cgroup"),
        ("30 23 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw", "sys/fs/cgroup/unified"),
        (r"30 23 0:26 / /mnt/with\040space rw - cgroup2 none rw", "mnt/with space"),
        ("30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw", None),
        ("30 23 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd", None),
    ],
)
def test_cgroup2_is_found_wherever_it_is_mounted_whole(tmp_path: Path, line: str, where: str | None) -> None:
    mounted(tmp_path, f"22 1 0:5 / / rw - ext4 /dev/vda rw\n{line}\n")
    assert cgroup2_mount_point(tmp_path) == (tmp_path / where if where else None)


def test_in_a_cgroup_namespace_the_hosts_tree_is_the_one_that_begins_furthest_up(tmp_path: Path) -> None:
    own = "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    pod = "31 23 0:26 /.. /pod ro - cgroup2 cgroup rw\n"
    neighbour = "33 23 0:26 /../../../system.slice /units ro - cgroup2 cgroup rw\n"
    host = "32 23 0:26 /../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    assert cgroup2_mount_point(mounted(tmp_path, own + pod + neighbour + host)) == tmp_path / "host/sys/fs/cgroup"
    (tmp_path / "other").mkdir()
    assert cgroup2_mount_point(mounted(tmp_path / "other", own)) == tmp_path / "other/sys/fs/cgroup"
