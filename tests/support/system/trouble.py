# SPDX-License-Identifier: Apache-2.0
"""A unit in trouble: spawns, crashes, failing execs, opens and forks, and threads, while the context is open."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Final

from support.cgroup2 import Cgroups, run_in
from support.running_daemon import PATIENCE
from support.workload_programs import compile_workloads, install

UNIT: Final = "trouble.service"
WORKLOADS: Final = ("exits", "exit_kinds", "fail_opens", "forks_fail", "spawn", "threads")


class Trouble:
    """Programs with fresh names, and a thread that runs the programs."""

    def __init__(self, folder: Path) -> None:
        """Compile the programs into `folder`, their working directory."""
        compile_workloads(folder, *WORKLOADS)
        self.programs = {workload: install(folder, workload) for workload in WORKLOADS}
        self._folder = folder
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(PATIENCE)

    def _go_on(self) -> None:
        with Cgroups() as cgroups:
            group = cgroups.make(f"system.slice/{UNIT}")
            while not self._end.wait(0.1):
                self._burst(group)

    def _burst(self, group: Path) -> None:
        spawn, exits, kinds, opens = (self.programs[name] for name in ("spawn", "exits", "exit_kinds", "fail_opens"))
        forks, threads = self.programs["forks_fail"], self.programs["threads"]
        for command in (
            (spawn, "47", exits),
            (spawn, "3", kinds, "signal", "9"),
            (spawn, "2", kinds, "core", "11"),
            (spawn, "5", self._folder / "absent"),
            (opens, "openat", "ENOENT", "101"),
            (opens, "openat", "EMFILE", "101"),
            (forks, "11"),
            (threads, "13"),
        ):
            run_in(group, *command, cwd=self._folder)  # the folder of a core file
