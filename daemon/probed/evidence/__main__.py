# SPDX-License-Identifier: Apache-2.0
"""The sampler: loads a trace probe for one cgroup, logs a few rows, and exits.

The supervisor starts it as ``python -m probed.evidence FD``. All of the sample's objects in the kernel belong to this
process and its loader, so that nothing outlives them, even after SIGKILL.
"""

from __future__ import annotations

import logging
import select
import signal
import socket
import sys
import time
from typing import Final

from probed import log
from probed.config import files
from probed.errors import ProbedError
from probed.evidence.cgroup_check import unit_of
from probed.evidence.log_rows import LogRows, message
from probed.evidence.redaction import DEFAULTS, Redactor
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context
from probed.ipc.channel import Channel, Closed
from probed.ipc.evidence_messages import (
    TRACE_OF,
    EvidenceFailed,
    EvidenceTaken,
    FromSampler,
    TakeEvidence,
    ToSampler,
)
from probed.ipc.message import bounded
from probed.linux import privilege
from probed.linux.os_errors import why_not
from probed.log import MessageId
from probed.tail.attachment import AttachedTrace, attached
from probed.tail.cells import cell_decoder
from probed.tail.filters import with_macros
from probed.tail.record_ring import RecordRing
from probed.tail.rows import RowReader

LOG = logging.getLogger("evidence")

SECONDS: Final = 2.0
"""Longest time that the programs stay attached."""

MOST_TEXT: Final = 1000
"""Most characters of the reason of a failure."""


def take(asked: TakeEvidence) -> EvidenceTaken:
    """Log the sample. Raises ProbedError and OSError."""
    wanted, settings = asked.wanted, asked.settings
    unit = unit_of(wanted.path, wanted.cgroup)
    trace = files.trace_probe(TRACE_OF[wanted.rule], asked.config_file, asked.btf)
    request = with_macros(trace.request, {"ONLY_CGROUP": f"{wanted.cgroup}UL"})
    with attached(request) as attachment:
        privilege.keep_only(frozenset({privilege.CAP_BPF}))
        records = _records(attachment, settings.rows)
        loaded = attachment.loaded
    assert loaded.event is not None
    context = Context(lambda _: Attribution(unit, ""))
    decoders = {column.name: cell_decoder(column, context, 0) for column in loaded.columns}
    redactor = Redactor([*(DEFAULTS if settings.redact_defaults else ()), *settings.redact])
    rows = LogRows(wanted.rule, unit, loaded.columns, decoders, redactor)
    for row in map(RowReader(loaded.event, loaded.columns).read, records):
        fields = rows.fields(row)
        LOG.info("%s", message(fields), extra=fields | {"MESSAGE_ID": MessageId.EVIDENCE})
    return EvidenceTaken(unit, len(records))


def _records(attachment: AttachedTrace, most: int) -> list[bytes]:
    """Return the first records, as many as come in time; the programs are detached then. Raises OSError."""
    ring = RecordRing.map(attachment.ring, attachment.loaded.ring_bytes)
    poller = select.poll()
    poller.register(attachment.ring, select.POLLIN)
    records: list[bytes] = []
    end = time.monotonic() + SECONDS
    while len(records) < most and (left := end - time.monotonic()) > 0:
        poller.poll(left * 1000)
        records += ring.take(most - len(records))
    attachment.stop()
    return records


def main(fd: int) -> int:
    """Serve the supervisor behind `fd`; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the supervisor ends the sampler
    channel = Channel[FromSampler, ToSampler](socket.socket(fileno=fd), [TakeEvidence])
    try:
        asked = channel.receive().message
        log.start("evidence", asked.log_level, asked.log_format)
        answer: FromSampler
        try:
            answer = take(asked)
        except ProbedError as error:
            answer = EvidenceFailed(bounded(str(error), MOST_TEXT))
        except OSError as error:
            answer = EvidenceFailed(f"the events cannot be read: {why_not(error)}")
        channel.send(answer)
    except Closed:
        return 1  # the supervisor has gone
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
