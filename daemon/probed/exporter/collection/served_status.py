# SPDX-License-Identifier: Apache-2.0
"""The supervisor's status as the exporter serves it: probes that the exporter could not run are not up."""

from __future__ import annotations

from dataclasses import replace

from probed.ipc.exporter_messages import ProbeStatus, Status


class ServedStatus:
    """The supervisor's last `Status`, None before the first, and the probes that this process left out."""

    def __init__(self) -> None:
        self.supervisor: Status | None = None
        self._left_out: dict[str, str] = {}

    @property
    def left_out(self) -> list[str]:
        """The names of the probes that this process left out."""
        return list(self._left_out)

    def leave_out(self, name: str, text: str) -> None:
        """Tell from now on that a probe is not up, with a text that says why."""
        self._left_out[name] = text

    def forget(self, name: str) -> None:
        """Tell the supervisor's status of a probe again."""
        self._left_out.pop(name, None)

    @property
    def current(self) -> Status | None:
        """The supervisor's last status; a probe that this process left out is not up, and the text says why."""
        if self.supervisor is None or not self._left_out:
            return self.supervisor
        return replace(self.supervisor, probes=tuple(map(self._as_served, self.supervisor.probes)))

    def _as_served(self, probe: ProbeStatus) -> ProbeStatus:
        why = self._left_out.get(probe.name) if probe.up else None
        return replace(probe, up=False, reason="internal", text=why) if why else probe
