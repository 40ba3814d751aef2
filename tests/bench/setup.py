# SPDX-License-Identifier: Apache-2.0
"""Gives every measurement a folder, compiled workloads and daemons, and reads figures of processes."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from support import workload_programs
from support.running_daemon import PROBES, ROOT, SHIPPED, Daemon, command, environment, site

if TYPE_CHECKING:
    from bench.peer import Peer

HERE: Final = Path(__file__).parent
STORM: Final = {"cgroups": None, "storm": None}
"""Probe of the bench: one event for each call of tests/bench/storm.c."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Take a temporary `folder`; with `short` each measurement only shows that it works; `peer` is optional."""

    folder: Path
    short: bool
    peer: Peer | None = None

    def rounds(self, many: int) -> int:
        """Return the number of rounds: two in a short bench."""
        return 2 if self.short else many

    def seconds(self, long: float) -> float:
        """Return the seconds of a measurement: one in a short bench."""
        return 1.0 if self.short else long

    def compile(self) -> None:
        """Compile all workloads, and the daemon's Python, as every installation does."""
        compileall.compile_dir(ROOT / "daemon" / "probed", quiet=1)
        workload_programs.compile_workloads(self.folder)
        for source in HERE.glob("*.c"):
            compiled = self.folder / source.stem
            subprocess.run(["cc", "-static", "-O2", "-Wall", "-Werror", "-o", str(compiled), str(source)], check=True)

    def run(self, program: str, *arguments: object) -> list[float]:
        """Run a workload in the folder, and return the printed numbers."""
        done = subprocess.run(self.command(program, *arguments), cwd=self.folder, check=True, stdout=subprocess.PIPE)
        return [float(word) for word in done.stdout.split()]

    def start(self, program: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a workload."""
        return subprocess.Popen(self.command(program, *arguments), cwd=self.folder, stdout=subprocess.PIPE)

    def command(self, program: str, *arguments: object) -> list[str]:
        """Return the command that runs a workload."""
        return [str(self.folder / program), *map(str, arguments)]

    def objects(self) -> Path:
        """Return the shipped probes with objects, built at the first call."""
        folder = self.folder / "probes"
        if not folder.exists():
            shutil.copytree(PROBES, folder)
            subprocess.run(command("build", str(folder)), env=environment(), check=True, stdout=subprocess.DEVNULL)
        return folder

    def through_objects(self) -> dict[str, Any]:
        """Return a site configuration with the shipped probes as objects."""
        return site(directories=[self.objects()], loader="core")

    def daemon(self, probes: Mapping[str, Any] = SHIPPED, under: Sequence[str] = (), **more: Any) -> Daemon:
        """Start a daemon with these probes, without waiting for readiness; `under` as of Daemon."""
        return Daemon(self.folder, site(probes, (PROBES, HERE / "probes"), **more), under=under)


def processes(daemon: Daemon) -> dict[str, int]:
    """Return a daemon's process ids by role."""
    return {"supervisor": daemon.supervisor, "exporter": daemon.exporter}


def cpu_seconds(pid: int) -> float:
    """Return the run time of a process's threads. Source: Linux Documentation/scheduler/sched-stats.rst."""
    return sum(int(_words(task / "schedstat")[0]) for task in _tasks(pid)) / 1e9


def wake_ups(pid: int) -> int:
    """Return the voluntary context switches of a process's threads, which are their wake-ups."""
    return sum(int(_after(task / "status", "voluntary_ctxt_switches:")) for task in _tasks(pid))


def ended_children_seconds(pid: int) -> float:
    """Return the CPU time of a process's reaped children. Source: proc_pid_stat(5)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[13]) + int(words[14])) / os.sysconf("SC_CLK_TCK")


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _after(path: Path, name: str) -> str:
    return next(line.split()[1] for line in path.read_text().splitlines() if line.startswith(name))
