# SPDX-License-Identifier: Apache-2.0
"""Text and JSON of each decoder of columns."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.declaration.columns import OF_COLUMNS
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context
from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import CellDecoder, cell_decoder, duration, exit_status, open_flags, result
from probed.tail.rows import Appended

CONTEXT = Context(lambda number: Attribution(f"unit-{number}.service", ""))


def of(decoder: str, table: Mapping[int, str] | None = None) -> CellDecoder:
    return cell_decoder(ResolvedColumn("name", "field", decoder, 10, table or {}), CONTEXT, 1_700_000_000 * 10**9)


@pytest.mark.parametrize("name", OF_COLUMNS)
def test_every_decoder_of_columns_has_code(name: str) -> None:
    value = Appended(b"text\0", False) if OF_COLUMNS[name].reads == "length" else 1
    assert of(name).text(value).isprintable()
    json.dumps(of(name).json(value))


def test_decoders_of_labels_serve_columns() -> None:
    assert (of("cgroup_unit").text(7), of("cgroup_unit").json(7)) == ("unit-7.service", "unit-7.service")
    assert of("comm").text(b"a\x1b\0\0") == r"a\x1b"
    assert (of("integer").text(7), of("integer").json(7)) == ("7", 7)
    assert [of("enum", {7: "seven"}).text(number) for number in (7, 8)] == ["seven", "8"]


def test_a_time_in_json_is_exact_and_in_utc() -> None:
    assert of("time").json(1) == "2023-11-14T22:13:20.000000001Z"
    assert re.fullmatch(r"\d\d:\d\d:\d\d", of("time").text(1))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0ns"), (999, "999ns"), (1_000, "1us"), (1_234_567, "1.235ms"), (12_500_000_000, "12.5s"),
        (86_400 * 10**9, "86400s"),
    ],
)  # fmt: skip
def test_a_duration_has_four_digits_and_a_unit(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("status", "shown"),
    [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, "SIGKILL"), (11, "SIGSEGV"), (0x80 | 11, "SIGSEGV (core)")],
)
def test_an_exit_is_a_code_or_a_signal(status: int, shown: str | int) -> None:
    assert exit_status(status) == shown


def test_a_result_is_a_number_or_an_errno() -> None:
    assert [result(value) for value in (0, 7, -errno.ENOENT, -95)] == [0, 7, "ENOENT", "EOPNOTSUPP"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (0, "O_RDONLY"),
        (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "O_WRONLY|O_CREAT|O_TRUNC"),
        (os.O_RDWR | os.O_SYNC, "O_RDWR|O_SYNC"),
        (os.O_RDWR | os.O_DSYNC, "O_RDWR|O_DSYNC"),
        (os.O_WRONLY | os.O_TMPFILE, "O_WRONLY|O_TMPFILE"),
        (os.O_DIRECTORY | os.O_CLOEXEC | 1 << 40, "O_RDONLY|O_DIRECTORY|O_CLOEXEC|0x10000000000"),
    ],
)
def test_flags_have_the_names_of_open(flags: int, text: str) -> None:
    assert open_flags(flags) == text


def test_arguments_with_blanks_or_quotes_are_quoted() -> None:
    value = Appended(b'sh\0-c\0echo "hi"\0\0', False)
    assert of("args").text(value) == r'sh -c "echo \"hi\"" ""'
    assert of("args").json(value) == ["sh", "-c", 'echo "hi"', ""]


def test_cut_arguments_end_with_a_mark() -> None:
    assert of("args").text(Appended(b"sh\0par", True)) == "sh par [cut]"
    assert of("args").json(Appended(b"sh\0par", True)) == ["sh", "par"]
    assert of("args").text(Appended(b"", True)) == "[cut]"


@given(st.lists(st.binary().map(lambda data: data.replace(b"\0", b"\1")), min_size=1))
def test_arguments_in_json_are_the_very_bytes(arguments: list[bytes]) -> None:
    value = Appended(b"".join(each + b"\0" for each in arguments), False)
    decoded = json.loads(json.dumps(of("args").json(value)))
    assert [text.encode("utf-8", "surrogateescape") for text in decoded] == arguments


@given(st.binary())
def test_text_of_any_bytes_prints(data: bytes) -> None:
    assert of("args").text(Appended(data, False)).isprintable()
    assert of("text").text(Appended(data.replace(b"\0", b""), False)).isprintable()
