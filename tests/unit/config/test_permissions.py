# SPDX-License-Identifier: Apache-2.0
"""A file that any user could replace is found, at whichever part of the path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from probed.config import permissions
from probed.config.permissions import why_replaceable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a folder in a folder."""
    path = tmp_path / "probes" / "mine" / "mine.bpf.c"
    path.parent.mkdir(parents=True)
    path.touch(0o644)
    return path


def test_a_file_of_root_or_of_this_user_is_not_replaceable(file: Path) -> None:
    assert why_replaceable(str(file)) == ""


def test_a_file_to_which_every_user_may_write_is(file: Path) -> None:
    file.chmod(0o666)
    assert (
        why_replaceable(str(file)) == f"every user may write to {file}, and so run code in the kernel: chmod o-w {file}"
    )


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_file_below_a_folder_to_which_every_user_may_write_is(file: Path, level: int) -> None:
    folder = file.parents[level]
    folder.chmod(0o777)
    assert why_replaceable(str(file)).startswith(f"every user may write to {folder}, ")


def test_the_file_behind_a_link_counts(file: Path, tmp_path: Path) -> None:
    file.chmod(0o646)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert f"chmod o-w {file}" in why_replaceable(str(link))


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_that_every_user_could_replace_counts(file: Path, tmp_path: Path, relative: bool) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(Path("..") / file.parents[1].relative_to(tmp_path) if relative else file.parents[1])
    through = str(link / "mine" / "mine.bpf.c")
    assert Path(through).samefile(file)
    assert why_replaceable(through) == ""
    folder.chmod(0o777)
    assert why_replaceable(through).startswith(f"every user may write to {folder}, ")


def test_in_a_sticky_folder_the_owner_of_the_next_part_counts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = file.parents[1]
    folder.chmod(0o1777)
    assert why_replaceable(str(file)) == ""
    if os.geteuid() == 0:
        os.chown(file.parent, 65534, 65534)
    else:
        monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    assert f"every user may add files to {folder}, and '" in why_replaceable(str(file))


def test_no_user_writes_to_a_read_only_mount(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes mounts a ConfigMap so, with folders of mode 0777."""
    file.parent.chmod(0o777)
    monkeypatch.setattr(permissions, "_is_read_only", lambda path: path == file.parent)
    assert why_replaceable(str(file)) == ""


def test_a_pipe_is_no_file() -> None:
    reader, writer = os.pipe()
    assert why_replaceable(f"/proc/self/fd/{reader}") == ""
    os.close(reader)
    os.close(writer)
