# SPDX-License-Identifier: Apache-2.0
"""Decides on samples in the supervisor, and runs the process that takes one.

The exporter asks, and may be hostile: the budget, the shape of the request and a deadline bound its wishes here, and
the sampler process checks cgroup and path against the kernel. The supervisor's loop calls `step` and `on_clock`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from probed.errors import DeclarationError
from probed.evidence.sample_budget import SampleBudget
from probed.ipc.channel import Closed, Starved, close_all
from probed.ipc.child_process import Child
from probed.ipc.evidence_messages import (
    FROM_SAMPLER,
    EvidenceFailed,
    EvidenceReport,
    EvidenceSettings,
    EvidenceTaken,
    FromSampler,
    LatestEvidence,
    SuppressionReason,
    TakeEvidence,
    ToSampler,
    WantEvidence,
)
from probed.ipc.loader_messages import Files, Settings
from probed.linux.os_errors import why_not

LOG = logging.getLogger("supervisor")

SECONDS = 90.0
"""Limit of a sample: a loader has 60 s, and the sample itself takes two."""

REAP_SECONDS = 5.0


class EvidenceSampler:
    """The sampler process, or the wait for the next storm; `report` has the sums."""

    def __init__(
        self,
        evidence: EvidenceSettings,
        settings: Settings,
        files: Files,
        tell: Callable[[EvidenceReport], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` gets each new report."""
        self._evidence, self._settings, self._files = evidence, settings, files
        self._tell = tell
        self._clock = clock
        self._budget = SampleBudget(evidence)
        self._wanted: WantEvidence | None = None
        self.report = EvidenceReport()
        self.child: Child[ToSampler, FromSampler] | None = None
        self.deadline: float | None = None

    def want(self, wanted: WantEvidence) -> None:
        """Start a sample, unless a limit forbids one."""
        now = self._clock()
        reason: SuppressionReason | None = "busy" if self.child else self._budget.refusal(wanted, now)
        if reason is not None:
            suppressed = {**self.report.suppressed, reason: self.report.suppressed[reason] + 1}
            self._change(replace(self.report, suppressed=suppressed))
            return
        self._budget.spend(wanted, now)
        try:
            self._start(wanted, now)
        except (OSError, Closed) as error:
            self._end()
            self._fail(f"no sampler can be started: {why_not(error) if isinstance(error, OSError) else 'it ended'}")

    def _start(self, wanted: WantEvidence, now: float) -> None:
        settings, files = self._settings, self._files
        self.child = Child("probed.evidence", FROM_SAMPLER)
        self._wanted, self.deadline = wanted, now + SECONDS
        self.child.channel.send(
            TakeEvidence(
                wanted, self._evidence, files.config_file, files.btf, files.loader, settings.log_level,
                settings.log_format,
            )
        )  # fmt: skip

    def step(self) -> None:
        """Take the sampler's answer."""
        assert self.child is not None
        try:
            packet = self.child.channel.receive()
            close_all(packet.fds)
            answer: FromSampler = packet.message
        except (Closed, Starved, ValueError, DeclarationError) as error:
            self.child.kill()
            answer = EvidenceFailed(f"the sampler gave no answer: {error or 'it ended'}")
        wanted = self._wanted
        self._end()
        match answer:
            case EvidenceTaken(unit, rows) if wanted is not None:
                latest = LatestEvidence(unit, wanted.rule, rows, time.time())
                report = self.report
                self._change(replace(report, samples=report.samples + 1, rows=report.rows + rows, latest=latest))
            case EvidenceFailed(text):
                self._fail(text)

    def on_clock(self, now: float) -> None:
        """Kill a sampler past the deadline."""
        if self.child is not None and self.deadline is not None and self.deadline <= now:
            self.child.kill()
            self._end()
            self._fail(f"the sampler took longer than {SECONDS:g} s")

    def _fail(self, text: str) -> None:
        LOG.warning("no evidence of a storm: %s; 'evidence: off' in the site configuration ends such attempts", text)
        self._change(replace(self.report, failures=self.report.failures + 1))

    def _change(self, report: EvidenceReport) -> None:
        self.report = report
        self._tell(report)

    def _end(self) -> None:
        child, self.child, self.deadline, self._wanted = self.child, None, None, None
        if child is not None:
            child.reap(REAP_SECONDS)

    def close(self) -> None:
        """End a sampler that runs: its programs leave the kernel with the process."""
        if self.child is not None:
            self.child.kill()
        self._end()
