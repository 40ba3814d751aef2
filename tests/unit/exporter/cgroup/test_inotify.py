# SPDX-License-Identifier: Apache-2.0
"""The kernel's notes on folders: of real folders, and from bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from probed.exporter.cgroup import inotify
from probed.exporter.cgroup.inotify import Inotify, Note, parse


def test_a_folder_s_new_and_removed_entries_are_told_in_order(tmp_path: Path) -> None:
    instance = Inotify()
    watch = instance.add(str(tmp_path))
    assert instance.read() == []
    (tmp_path / "file").touch()
    (tmp_path / "file").rename(tmp_path / "\udcff")
    (tmp_path / "\udcff").unlink()
    assert instance.read() == [
        Note(watch, inotify.CREATED, "file"),
        Note(watch, inotify.MOVED_FROM, "file"),
        Note(watch, inotify.MOVED_TO, "\udcff"),
        Note(watch, inotify.DELETED, "\udcff"),
    ]


def test_what_is_no_folder_cannot_be_watched(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Inotify().add(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        Inotify().add(str(tmp_path / "nowhere"))


def test_a_note_s_name_ends_at_the_first_nul_of_its_padding() -> None:
    data = struct.pack("iIII", 1, inotify.CREATED, 0, 16) + b"name".ljust(16, b"\0")
    overflowed = struct.pack("iIII", -1, inotify.OVERFLOWED, 0, 0)
    assert list(parse(data + overflowed)) == [
        Note(1, inotify.CREATED, "name"),
        Note(-1, inotify.OVERFLOWED, ""),
    ]
