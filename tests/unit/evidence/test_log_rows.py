# SPDX-License-Identifier: Apache-2.0
"""A row's fields are printable, without secrets, and say if arguments are missing."""

from __future__ import annotations

import pytest

from probed.evidence.log_rows import LogRows, message
from probed.evidence.redaction import DEFAULTS, MOST_SHOWN, Redactor
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context
from probed.ipc.evidence_messages import RuleName
from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import cell_decoder
from probed.tail.rows import Appended, Row

COLUMNS = tuple(
    ResolvedColumn(name, name, decoder, 10)
    for name, decoder in {
        "comm": "comm", "parent": "comm", "pid": "integer", "ppid": "integer", "result": "result", "args": "args",
        "path": "text",
    }.items()
)  # fmt: skip


def row(data: bytes, *, is_cut: bool = False, result: int = 0) -> Row:
    appended = Appended(data, is_cut)
    return {
        "comm": b"ffmpeg\0", "parent": b"media\x1b\0", "pid": 73, "ppid": 71, "result": result, "args": appended,
        "path": appended,
    }  # fmt: skip


def fields(row: Row, rule: RuleName = "starts") -> dict[str, str]:
    context = Context(lambda _: Attribution("", ""))
    decoders = {column.name: cell_decoder(column, context, 0) for column in COLUMNS}
    return LogRows(rule, "media.service", COLUMNS, decoders, Redactor(DEFAULTS)).fields(row)


def test_a_start_has_its_arguments_and_parent() -> None:
    found = fields(row(b"ffmpeg\0-i\0a b.mp4\0"))
    assert found == {
        "UNIT": "media.service", "COMM": "ffmpeg", "PID": "73", "PARENT": "media\\x1b", "PPID": "71", "RESULT": "0",
        "ARGV": 'ffmpeg -i "a b.mp4"', "EVIDENCE_OF": "starts",
    }  # fmt: skip
    assert message(found) == 'media.service: media\\x1b[71] -> ffmpeg[73]: ffmpeg -i "a b.mp4" = 0'


def test_a_failed_open_has_its_path_and_errno() -> None:
    found = fields(row(b"/etc/absent", result=-2), "failed_opens")
    assert (found["ARGV"], found["RESULT"], found["EVIDENCE_OF"]) == ("/etc/absent", "ENOENT", "failed_opens")


def test_a_fork_has_the_id_of_the_child() -> None:
    found = fields(row(b"", result=1234))
    assert (found["ARGV"], found["RESULT"]) == ("fork", "1234")
    assert message(found) == "media.service: media\\x1b[71] -> ffmpeg[73]: fork = 1234"


@pytest.mark.parametrize("data", [b"a\0\xff\xfe\0", b"a\0\x1b[2J\n\0", "a\0\u202e\0".encode()])
def test_fields_are_printable(data: bytes) -> None:
    assert all(value.isprintable() for value in fields(row(data)).values())


def test_a_secret_is_hidden_beside_bytes_that_are_not_utf_8() -> None:
    found = fields(row(b"x\0\xff\0--password\0hunter2\0last\0"))
    assert found["ARGV"] == "x \\xff --password *** last"


def test_missing_arguments_are_told() -> None:
    assert fields(row(b"ffmpeg\0", is_cut=True))["ARGV"].endswith("[cut]")
    long = fields(row(b"ffmpeg\0" + b"y" * 20_000))["ARGV"]
    assert long.endswith("[cut]")
    assert len(long) < MOST_SHOWN + 20
