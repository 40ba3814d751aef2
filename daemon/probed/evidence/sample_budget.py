# SPDX-License-Identifier: Apache-2.0
"""Limits of samples: one for each unit in an interval, and some units in all. Pure."""

from __future__ import annotations

from probed.ipc.evidence_messages import EvidenceSettings, SuppressionReason, WantEvidence


class SampleBudget:
    """The samples of the present interval.

    A unit that starts again has a new cgroup with the former path. In a cgroup namespace one cgroup has two paths: the
    announced one, and the one below the mount point. So a sample is known by both, path and id.
    """

    def __init__(self, settings: EvidenceSettings) -> None:
        self._settings = settings
        self._taken: list[tuple[WantEvidence, float]] = []

    def refusal(self, wanted: WantEvidence, now: float) -> SuppressionReason | None:
        """Return why a cgroup gets no sample now, None if it may."""
        self._taken = [(each, at) for each, at in self._taken if now - at < self._settings.interval]
        if any(wanted.path == each.path or wanted.cgroup == each.cgroup for each, _ in self._taken):
            return "unit"
        return "units" if len(self._taken) >= self._settings.units else None

    def spend(self, wanted: WantEvidence, now: float) -> None:
        """Note that a sample of a cgroup begins; a sample that fails counts too."""
        self._taken.append((wanted, now))
