# SPDX-License-Identifier: Apache-2.0
"""Log lines on standard error, as logfmt or JSON, with fields.

A field is an extra attribute in capitals (``extra={"PROBE": "process"}``), the way the journal names them.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warning", "error")


def fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the record's own fields, in the order they were given."""
    return {name: value for name, value in record.__dict__.items() if name.isupper()}


class Logfmt(logging.Formatter):
    """``time=… level=info process=supervisor msg="…" probe=process``; further lines of a text follow as they are."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, or several where the message has several."""
        first, *rest = record.getMessage().split("\n")
        pairs = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "process": record.name,
            "msg": first,
        }
        pairs |= {name.lower(): str(value) for name, value in fields(record).items()}
        line = " ".join(f"{name}={_quoted(value)}" for name, value in pairs.items())
        if record.exc_info:
            rest += self.formatException(record.exc_info).split("\n")
        return "\n  ".join([line, *rest])


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "process": record.name,
        }
        entry["msg"] = record.getMessage()
        entry |= {name.lower(): value for name, value in fields(record).items()}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _quoted(value: str) -> str:
    return value if value and value.isprintable() and not set(value) & set(' "=') else json.dumps(value)


def start(level: str, form: str) -> None:
    """Send this process's log lines to standard error; called once, by each process's main."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Logfmt())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
