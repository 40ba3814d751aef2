# SPDX-License-Identifier: Apache-2.0
"""``python -m support.hostile_daemon run …`` is ``probed run`` with an exporter that an intruder has taken over."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from probed.__main__ import main
from probed.ipc import first_children
from probed.ipc.child_process import Child
from probed.supervisor import exporter_process
from support.processes import command_line
from support.running_daemon import ROOT, Daemon, until

CLONE = "faults.hostile_exporter"

BACKOFF_SECONDS, STOP_SECONDS = 0.2, 2.0

UNIT = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
    "--bounding-set=-all,+bpf,+perfmon,+dac_read_search", "--inh-caps=-all,+bpf,+perfmon,+dac_read_search",
    "--ambient-caps=-all,+bpf,+perfmon,+dac_read_search",
)  # fmt: skip
"""Starts a daemon as the packaged unit does: one user for all processes. The last capability reads this checkout."""


class HostileChild(Child[Any, Any]):
    """A child process; instead of the exporter, the clone."""

    def __init__(self, module: str, receives: Sequence[type[Any]], environment: Mapping[str, str]) -> None:
        super().__init__(CLONE if module == "probed.exporter" else module, receives, environment)


class HostileDaemon(Daemon):
    """A daemon with an exporter that attacks on request."""

    module: ClassVar[str] = "support.hostile_daemon"

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        path = f"{ROOT / 'daemon'}:{ROOT / 'tests'}"
        super().__init__(folder, configuration, (), UNIT, PYTHONPATH=path)

    @property
    def exporter(self) -> int:
        """Return the clone's process id, 0 while there is none."""
        return next((pid for pid in self.children() if CLONE in command_line(pid)), 0)

    def attack(self, name: str, argument: str = "") -> str:
        """Have the exporter attack; return what came of it: an errno, a text, or "" where the exporter ended."""
        try:
            return self.get(f"/attack/{name}?{argument}")[1].decode().strip()
        except OSError:
            return ""

    def replaced_by_attack(self, name: str, argument: str = "") -> str:
        """Have the exporter attack until another takes its place; return the end of the log since."""
        dead, before = self.exporter, len(self.log())
        self.attack(name, argument)
        until(lambda: self.exporter not in (0, dead) and self.is_ready(), "there is another exporter")
        return self.log()[before:]


if __name__ == "__main__":
    exporter_process.LAST_BACKOFF, exporter_process.STOP_TIMEOUT = BACKOFF_SECONDS, STOP_SECONDS
    first_children.Child = HostileChild  # type: ignore[attr-defined,assignment]
    sys.exit(main())
