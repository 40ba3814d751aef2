# SPDX-License-Identifier: Apache-2.0
"""A child process takes no code from a home folder, where root's HOME may be another user's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from probed.ipc.child_process import Child
from probed.ipc.loader_messages import FROM_LOADER, EndOfRequests, FromLoader, ToLoader


def test_packages_of_a_home_folder_are_not_in_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    packages = tmp_path / ".local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    child = Child[ToLoader, FromLoader]("probed.loader", FROM_LOADER)
    child.channel.send(EndOfRequests("compile"))
    assert child.reap(60) == ""
    assert not (tmp_path / "ran").exists()
