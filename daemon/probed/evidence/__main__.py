# SPDX-License-Identifier: Apache-2.0
"""The sampler: loads a trace probe for one cgroup, logs a few rows, and exits.

The supervisor starts it as ``python -m probed.evidence FD``. A storm may be short: so the loader starts first, and the
sampler imports most modules beside the loader's work. All of the sample's objects in the kernel belong to this process
and its loader, so that nothing outlives them, even after SIGKILL.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from dataclasses import replace
from functools import partial
from typing import Final

from probed import log
from probed.errors import ProbedError
from probed.evidence.cgroup_check import unit_of
from probed.ipc.channel import Channel, Closed
from probed.ipc.evidence_messages import (
    TRACE_OF,
    EvidenceFailed,
    EvidenceTaken,
    FromSampler,
    TakeEvidence,
    ToSampler,
)
from probed.ipc.loader_messages import Files, LoadRequest, TraceConstants
from probed.ipc.message import bounded
from probed.linux import privilege
from probed.linux.os_errors import why_not
from probed.tail.attachment import attached

LOG = logging.getLogger("evidence")

MOST_TEXT: Final = 1000
"""Most characters of the reason of a failure."""


MOST_STRINGS: Final = 64
"""Most arguments of a failed exec: 512 turns of the loop take the verifier 0.2 s."""


def take(asked: TakeEvidence) -> EvidenceTaken:
    """Log the sample. Raises ProbedError and OSError."""
    unit = unit_of(asked.wanted.path, asked.wanted.cgroup)
    with attached(partial(_request, asked)) as attachment:
        # Before `keep_only`: perhaps only root may read the modules.
        from probed.evidence.row_sample import take_rows
        from probed.evidence.row_writer import write

        privilege.keep_only(frozenset({privilege.CAP_BPF}))
        rows = take_rows(attachment, asked.settings.rows)
        loaded = attachment.loaded
    write(asked, unit, loaded, rows)
    return EvidenceTaken(unit, len(rows))


def _request(asked: TakeEvidence) -> LoadRequest:
    """Read the trace probe of the rule, and return the request for the loader. Raises DeclarationError."""
    from probed.config import files

    trace = files.trace_probe(TRACE_OF[asked.wanted.rule], Files(asked.config_file, asked.btf, asked.loader))
    if trace.request.unfit and trace.request.loader == "auto":
        LOG.warning("evidence by '%s': BCC compiles it: %s", trace.request.name, trace.request.unfit)
    with_forks = asked.wanted.rule == "starts"
    constants = TraceConstants(only_cgroup=asked.wanted.cgroup, with_all=int(with_forks), most_strings=MOST_STRINGS)
    return replace(trace.request, constants=constants)


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
