# SPDX-License-Identifier: Apache-2.0
"""Limits of samples: one for each unit in an interval, and some units in all. Pure."""

from __future__ import annotations

from probed.ipc.evidence_messages import EvidenceSettings, SuppressionReason


class SampleBudget:
    """The samples of the present interval, by cgroup path."""

    def __init__(self, settings: EvidenceSettings) -> None:
        self._settings = settings
        self._taken: dict[str, float] = {}

    def refusal(self, path: str, now: float) -> SuppressionReason | None:
        """Return why a cgroup gets no sample now, None if it may."""
        self._taken = {each: at for each, at in self._taken.items() if now - at < self._settings.interval}
        if path in self._taken:
            return "unit"
        return "units" if len(self._taken) >= self._settings.units else None

    def spend(self, path: str, now: float) -> None:
        """Note that a sample of a cgroup begins; a sample that fails counts too."""
        self._taken[path] = now
