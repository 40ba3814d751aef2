# SPDX-License-Identifier: Apache-2.0
"""Rows of a sample as log lines, with secrets hidden. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from probed.evidence.redaction import Redactor
from probed.ipc.evidence_messages import RuleName
from probed.ipc.manifest import ResolvedColumn
from probed.tail.cells import CellDecoder, utf8
from probed.tail.rows import Appended, Row

SHOWN: Mapping[RuleName, str] = {"starts": "args", "failed_opens": "path"}
"""The column that the field ARGV shows."""

FORK = "fork"
"""ARGV of a fork."""


class LogRows:
    """Makes message and fields of each row of one unit."""

    def __init__(
        self, rule: RuleName, unit: str, columns: Sequence[ResolvedColumn], decoders: Mapping[str, CellDecoder],
        redactor: Redactor,
    ) -> None:  # fmt: skip
        self._rule, self._unit, self._redactor = rule, unit, redactor
        self._shown = next(column for column in columns if column.name == SHOWN[rule])
        self._decoders = decoders

    def fields(self, row: Row) -> dict[str, str]:
        """Return the journal's fields of a row; ARGV has printable characters only."""
        value = row[self._shown.name]
        assert isinstance(value, Appended)
        return {
            "UNIT": self._unit,
            "COMM": self._decoders["comm"].text(row["comm"]),
            "PID": str(row["pid"]),
            "PARENT": self._decoders["parent"].text(row["parent"]),
            "PPID": str(row["ppid"]),
            "RESULT": self._decoders["result"].text(row["result"]),
            "ARGV": FORK if is_fork(row) else self._decoders[self._shown.name].text(self._redacted(value)),
            "EVIDENCE_OF": self._rule,
        }

    def _redacted(self, value: Appended) -> Appended:
        shown, is_cut = self._redactor.redact(utf8(value.data))
        return Appended(shown.encode("utf-8", "surrogateescape"), value.is_cut or is_cut)


def is_fork(row: Row) -> bool:
    """Say whether a row is a fork, with the child's id as result; a sample has no successful opens."""
    result = row["result"]
    return isinstance(result, int) and result > 0


def message(fields: Mapping[str, str]) -> str:
    """Return the line of a row."""
    return "{UNIT}: {PARENT}[{PPID}] -> {COMM}[{PID}]: {ARGV} = {RESULT}".format_map(fields)
