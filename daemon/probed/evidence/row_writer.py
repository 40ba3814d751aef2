# SPDX-License-Identifier: Apache-2.0
"""Logs the rows of a sample, one line each. The sampler calls it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from probed.evidence.log_rows import LogRows, message
from probed.evidence.redaction import DEFAULTS, Redactor
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context
from probed.ipc.evidence_messages import TakeEvidence
from probed.ipc.manifest import LoadedProbe
from probed.log import MessageId
from probed.tail.cells import cell_decoder
from probed.tail.rows import Row

LOG = logging.getLogger("evidence")


def write(asked: TakeEvidence, unit: str, loaded: LoadedProbe, sample: Iterable[Row]) -> None:
    """Log the rows of the loaded trace probe, which are of `unit`."""
    context = Context(lambda _: Attribution(unit, ""))
    decoders = {column.name: cell_decoder(column, context, 0) for column in loaded.columns}
    settings = asked.settings
    redactor = Redactor([*(DEFAULTS if settings.redact_defaults else ()), *settings.redact])
    rows = LogRows(asked.wanted.rule, unit, loaded.columns, decoders, redactor)
    for row in sample:
        fields = rows.fields(row)
        LOG.info("%s", message(fields), extra=fields | {"MESSAGE_ID": MessageId.EVIDENCE})
