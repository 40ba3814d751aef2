# SPDX-License-Identifier: Apache-2.0
"""Log lines: one event, one line, every field to be found again."""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from probed.log import Journal, Json, Logfmt, MessageId, is_journal

PACKAGING = Path(__file__).parents[2] / "packaging" / "README.md"


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    entry = logging.LogRecord("supervisor", logging.ERROR, "x.py", 1, message, arguments, None)
    entry.__dict__.update(fields)
    entry.created = 1_790_000_000.5
    return entry


def test_a_logfmt_line_has_time_level_process_message_and_fields() -> None:
    line = Logfmt().format(record("probe '%s': \"no\"", "x", PROBE="x", ERRNO=2))
    assert line == (
        'time=2026-09-21T14:13:20.500+00:00 level=error process=supervisor msg="probe \'x\': \\"no\\"" probe=x errno=2'
    )


@pytest.mark.parametrize("value", ["", "a b", 'a"b', "a=b", "a\tb"])
def test_a_logfmt_value_that_would_break_the_line_is_quoted(value: str) -> None:
    assert Logfmt().format(record("m", FIELD=value)).endswith(f"field={json.dumps(value)}")


def test_further_lines_of_a_text_are_indented_below() -> None:
    lines = Logfmt().format(record("two problems:\na.yaml:1: x\nb.yaml:2: y")).split("\n")
    assert lines[1:] == ["  a.yaml:1: x", "  b.yaml:2: y"]


def test_further_lines_hold_no_escape_sequence() -> None:
    lines = Logfmt().format(record("a problem:\n\x1b[31mcaf\udce9")).split("\n")
    assert lines[1:] == ["  \\x1b[31mcaf\\xe9"]


def test_a_json_line_is_text_that_utf_8_can_encode() -> None:
    assert json.loads(Json().format(record("caf\udce9", PROBE="\udce9")))["msg"] == "caf\\udce9"


def test_a_json_line_is_one_object() -> None:
    entry = json.loads(Json().format(record("two\nlines", PROBE="x", ERRNO=2)))
    assert entry == {
        "time": "2026-09-21T14:13:20.500+00:00", "level": "error", "process": "supervisor", "msg": "two\nlines",
        "probe": "x", "errno": 2,
    }  # fmt: skip


def test_an_exception_goes_with_its_line() -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        entry = record("m")
        entry.exc_info = (type(error), error, error.__traceback__)
    assert "ValueError: why" in Logfmt().format(entry)
    assert "ValueError: why" in json.loads(Json().format(entry))["exception"]


def test_the_journal_is_told_the_line_its_place_and_its_fields() -> None:
    said: list[Mapping[str, object]] = []
    entry = record("probe '%s'", "x", PROBE="x", ERRNO=2, MESSAGE_ID="0" * 32)
    entry.funcName = "load"
    Journal(said.append).emit(entry)
    assert said == [
        {
            "MESSAGE": "probe 'x'", "PROBE": "x", "ERRNO": "2", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "probed",
            "PROCESS": "supervisor", "CODE_FILE": "x.py", "CODE_LINE": 1, "CODE_FUNC": "load", "MESSAGE_ID": "0" * 32,
        }
    ]  # fmt: skip


def test_a_message_id_is_for_the_journal_alone() -> None:
    assert "message_id" not in Logfmt().format(record("m", MESSAGE_ID="0" * 32))
    assert "message_id" not in Json().format(record("m", MESSAGE_ID="0" * 32))


@pytest.mark.parametrize(
    ("environment", "so"),
    [
        ({}, False),
        ({"JOURNAL_STREAM": "8:99"}, True),
        ({"JOURNAL_STREAM": "8:98"}, False),
        ({"JOURNAL_STREAM": "x"}, False),
    ],
)
def test_standard_error_is_the_journal_only_if_it_is_that_very_file(environment: dict[str, str], so: bool) -> None:
    assert is_journal(environment, 8, 99) == so


def test_message_ids_are_different_and_well_formed() -> None:
    assert len({each.value for each in MessageId}) == len(MessageId) > 0
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in MessageId)


def test_the_manual_lists_every_message_id_and_no_other() -> None:
    assert sorted(re.findall(r"\| ([0-9a-f]{32}) \|", PACKAGING.read_text())) == sorted(MessageId)
