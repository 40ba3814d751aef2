# SPDX-License-Identifier: Apache-2.0
"""The loader opens objects as root, and reads each at its load: a fault costs one probe."""

from __future__ import annotations

from pathlib import Path

import pytest

from probed.config.objects import content_digest
from probed.errors import LoadError
from probed.ipc.loader_messages import ObjectFile
from probed.loader.__main__ import _open_object, _read_object

CONTENT = b"object"


def refusal(file: ObjectFile) -> str:
    with pytest.raises(LoadError) as error:
        _read_object("opens", file, _open_object("opens", file))
    assert (error.value.probe, error.value.reason) == ("opens", "compile")
    return error.value.text


@pytest.fixture
def file(tmp_path: Path) -> ObjectFile:
    path = tmp_path / "opens.bpf.o"
    path.write_bytes(CONTENT)
    return ObjectFile(str(path), content_digest(CONTENT))


def test_an_object_is_read_though_its_name_is_gone(file: ObjectFile) -> None:
    opened = _open_object("opens", file)
    Path(file.path).unlink()
    assert _read_object("opens", file, opened) == CONTENT


def test_a_missing_object_is_told(file: ObjectFile) -> None:
    Path(file.path).unlink()
    assert refusal(file) == f"{file.path}: cannot be read: No such file or directory"


def test_a_folder_is_no_object(file: ObjectFile) -> None:
    Path(file.path).unlink()
    Path(file.path).mkdir()
    assert refusal(file) == f"{file.path}: cannot be read: Is a directory"


def test_an_object_that_has_changed_is_not_loaded(file: ObjectFile) -> None:
    Path(file.path).write_bytes(b"another")
    assert refusal(file) == f"{file.path}: has changed since it was chosen: reload probed"
