# SPDX-License-Identifier: Apache-2.0
"""Entries reach the journal's socket in its native protocol."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from probed.journal import BUFFER_BYTES, SHORT, JournalSocket, entry


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket in the place of systemd-journald's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        yield listener


def test_a_field_of_one_line_is_a_line() -> None:
    assert entry({"MESSAGE": "a=b", "PRIORITY": "6"}) == b"MESSAGE=a=b\nPRIORITY=6\n"


def test_a_field_of_several_lines_goes_with_its_length() -> None:
    assert entry({"MESSAGE": "é\nb"}) == b"MESSAGE\n\x04\0\0\0\0\0\0\0\xc3\xa9\nb\n"


def test_a_text_that_utf_8_cannot_encode_is_escaped() -> None:
    assert entry({"MESSAGE": "\ud800"}) == b"MESSAGE=\\ud800\n"


def test_an_entry_is_one_datagram(journal: socket.socket) -> None:
    with closing(JournalSocket(journal.getsockname())) as connected:
        connected.send({"MESSAGE": "one", "CODE_LINE": 1})
        connected.send({"MESSAGE": "two"})
    assert [journal.recv(100) for _ in range(2)] == [b"MESSAGE=one\nCODE_LINE=1\n", b"MESSAGE=two\n"]


def test_of_an_entry_that_is_too_large_the_beginning_arrives(journal: socket.socket) -> None:
    with closing(JournalSocket(journal.getsockname())) as connected:
        connected.send({"MESSAGE": 2 * BUFFER_BYTES * "x", "PRIORITY": 6})
    assert journal.recv(2 * SHORT) == b"MESSAGE=" + SHORT * b"x" + b"\nPRIORITY=6\n"


def test_without_a_journal_there_is_no_connection(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JournalSocket(str(tmp_path / "socket"))
