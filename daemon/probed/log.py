# SPDX-License-Identifier: Apache-2.0
"""Log lines with fields: as logfmt or JSON on standard error, or in the journal if standard error leads there.

A field is an extra attribute in capitals (``extra={"PROBE": "process"}``), as the journal names fields.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

from probed.journal import JournalSocket
from probed.log_limiter import LogLimiter
from probed.terminal import printable

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warning", "error")

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Source: syslog(3)."""


class MessageId(StrEnum):
    """MESSAGE_ID of the log lines that programs wait for (`journalctl MESSAGE_ID=…`); packaging/README.md lists them.

    Values never change. Source: systemd.journal-fields(7).
    """

    STARTED = "4a219fd17a474472ba5f30e0a3114051"
    RELOADED = "c4f6535cc69b4de0ba59b16fa971bc7f"
    RELOAD_REFUSED = "e804c4c7771843d5a1537c36b5e1dbae"
    PROBE_FAILED = "bf3c626e691e455796e3f2b16f0f1af7"
    EVENTS_LOST = "b6cfb4c660d64b969e17ab57f46e94fe"
    EVIDENCE = "7e18f7994efc440d86fd67500795bd1b"


def fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the record's fields in their order, without MESSAGE_ID, which only the journal gets."""
    return {name: value for name, value in record.__dict__.items() if name.isupper() and name != "MESSAGE_ID"}


class Logfmt(logging.Formatter):
    """``time=… level=info process=supervisor msg="…" probe=process``; further lines of the message follow indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the message's further lines."""
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
        return "\n  ".join([line, *map(printable, rest)])


class Json(logging.Formatter):
    """One JSON object per line."""

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
        return json.dumps({name: _encodable(value) for name, value in entry.items()}, default=str)


def _encodable(value: object) -> object:
    """Return a text with lone surrogates escaped, which UTF-8 cannot encode; other values as they are."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _time(record: logging.LogRecord) -> str:
    """Return the time in UTC as in RFC 3339, with milliseconds."""
    seconds, milliseconds = divmod(int(record.created * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}+00:00"


def _quoted(value: str) -> str:
    return value if value and value.isprintable() and not set(value) & set(' "=') else json.dumps(value)


class Journal(logging.Handler):
    """Sends records with fields to the journal; `send` is `JournalSocket.send`."""

    def __init__(self, send: Callable[[Mapping[str, object]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line. Source: systemd.journal-fields(7)."""
        try:
            self._send({"MESSAGE": self.format(record)} | journal_fields(record))
        except OSError:
            self.handleError(record)


def journal_fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the journal's fields of a record."""
    own = {name: str(value) for name, value in fields(record).items()}
    given: dict[str, object] = {
        "PRIORITY": str(_PRIORITIES[record.levelno]),
        "SYSLOG_IDENTIFIER": "probed",
        "PROCESS": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName or "",
    }
    if "MESSAGE_ID" in record.__dict__:
        given["MESSAGE_ID"] = record.__dict__["MESSAGE_ID"]
    return own | given


def start(process: str, level: str, form: str) -> None:
    """Set up the log of this process; each process's main calls it once."""
    handler = _journal() if form == "logfmt" else None
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Json() if form == "json" else Logfmt())
    handler.addFilter(LogLimiter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _journal() -> logging.Handler | None:
    """Return a handler if standard error is the journal and the journal can be reached, else None."""
    status = os.fstat(sys.stderr.fileno())
    if not is_journal(os.environ, status.st_dev, status.st_ino):
        return None
    try:
        handler = Journal(JournalSocket().send)
    except OSError:  # a container has the stream, and not the socket
        return None
    handler.setFormatter(logging.Formatter())
    return handler


def is_journal(environment: Mapping[str, str], device: int, inode: int) -> bool:
    """Say whether standard error, the file of this device and inode, is the journal. Source: systemd.exec(5)."""
    return environment.get("JOURNAL_STREAM") == f"{device}:{inode}"
