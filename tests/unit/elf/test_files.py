# SPDX-License-Identifier: Apache-2.0
"""Programs and libraries of attach points are found by path or by name, and an update changes the identity."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from probed.elf.files import MAX_PATH, find_file, identity_of


def make(root: Path, path: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"1")
    return file


def test_a_bare_name_is_found_in_the_folders_of_programs_and_libraries(tmp_path: Path) -> None:
    library, program = make(tmp_path, "usr/lib/x86_64-linux-gnu/lib.so.6"), make(tmp_path, "usr/bin/lib")
    assert find_file("lib.so.6", tmp_path).path == str(library)
    assert find_file("lib", tmp_path).path == str(program)
    with pytest.raises(FileNotFoundError, match=r"there is no file 'lib\.so' in /usr/lib/x86_64-linux-gnu, "):
        find_file("lib.so", tmp_path)


def test_a_link_is_followed_to_the_real_file(tmp_path: Path) -> None:
    library = make(tmp_path, "usr/lib/lib.so.6.1")
    (tmp_path / "usr/lib/lib.so.6").symlink_to("lib.so.6.1")
    assert find_file("/usr/lib/lib.so.6", tmp_path).path == str(library)


def test_an_update_of_the_file_changes_the_identity(tmp_path: Path) -> None:
    program = make(tmp_path, "program")
    before = find_file(str(program)).identity
    make(tmp_path, "new").rename(program)
    assert find_file(str(program)).identity != before
    os.utime(program, ns=(1, 1))
    assert find_file(str(program)).identity.endswith("-1")


def test_a_file_that_cannot_be_used_has_no_identity(tmp_path: Path) -> None:
    assert identity_of(str(tmp_path)) == identity_of("no_such_program") == ""
    long = make(tmp_path, "x" * MAX_PATH)
    with pytest.raises(ValueError, match=f"{MAX_PATH} are the most"):
        find_file(str(long))
    assert identity_of(str(long)) == ""
