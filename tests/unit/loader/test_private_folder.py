# SPDX-License-Identifier: Apache-2.0
"""The compiler's folders, and leftovers of killed loaders."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from probed.loader.headers.private_folder import PREFIX, private_folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def leftover(temporary: Path, name: str = f"{PREFIX}dead", mode: int = 0o700) -> Path:
    """Return a folder as a loader leaves one that was killed long ago."""
    folder = temporary / name
    folder.mkdir(mode=mode)
    (folder / "include").mkdir()
    (folder / "include" / "types.h").write_text("struct task_struct {};")
    folder.chmod(mode)
    os.utime(folder, (0, 0))
    return folder


def test_a_folder_lives_as_long_as_the_context(temporary: Path) -> None:
    with private_folder() as path:
        assert Path(path).parent == temporary
        assert Path(path).stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []


def test_the_next_loader_removes_the_folder_of_a_killed_one(temporary: Path) -> None:
    folder = leftover(temporary)
    with private_folder():
        assert not folder.exists()


def test_a_folder_in_use_stays(temporary: Path) -> None:
    folder = leftover(temporary)
    owner = os.open(folder, os.O_RDONLY)
    fcntl.flock(owner, fcntl.LOCK_EX)
    with private_folder():
        assert (folder / "include" / "types.h").exists()
    os.close(owner)


def test_a_new_folder_stays_for_its_owner_may_not_have_locked_it_yet(temporary: Path) -> None:
    folder = leftover(temporary)
    os.utime(folder)
    with private_folder():
        assert folder.exists()


@pytest.mark.parametrize(("name", "mode"), [("headers-of-another", 0o700), (f"{PREFIX}open", 0o755)])
def test_a_folder_that_no_loader_made_stays(temporary: Path, name: str, mode: int) -> None:
    folder = leftover(temporary, name, mode)
    with private_folder():
        assert folder.exists()


def test_a_link_is_not_followed(temporary: Path) -> None:
    folder = leftover(temporary, "elsewhere")
    (temporary / f"{PREFIX}link").symlink_to(folder)
    with private_folder():
        assert (folder / "include").exists()
