# SPDX-License-Identifier: Apache-2.0
"""Sealed memory files: read as they were written, and changed by no one."""

import os

import pytest

from probed.linux import memfd


def test_a_sealed_file_is_read_whole_wherever_its_offset_is() -> None:
    fd = memfd.sealed("some", b"content")
    os.lseek(fd, 3, os.SEEK_SET)
    assert memfd.read(fd) == b"content"
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.truncate(fd, 3)):
        with pytest.raises(PermissionError):
            change()
    os.close(fd)


def test_a_sealed_file_is_known_by_its_seals_and_its_name() -> None:
    sealed, open_to_change = memfd.sealed("some", b""), os.memfd_create("some", os.MFD_ALLOW_SEALING)
    reader, writer = os.pipe()
    assert memfd.is_sealed(sealed, "some")
    assert not memfd.is_sealed(sealed, "other")
    assert not memfd.is_sealed(open_to_change, "some")
    assert not memfd.is_sealed(reader, "some")
    for fd in (sealed, open_to_change, reader, writer):
        os.close(fd)
