# SPDX-License-Identifier: Apache-2.0
"""For tests of faults: a daemon with short time limits, and faults for its processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

from support.processes import mapped_files, read, status_of
from support.running_daemon import PROBES, ROOT, Daemon, site, until

TESTS = Path(__file__).parents[1]
OWN_PROBES = TESTS / "faults" / "probes"
"""Probes with faults."""

EXECS = "probed_process_execs_total"
LOST = "probed_events_lost_total"
FAILURES = "probed_probe_load_failures_total"
SUCCESSFUL = "probed_config_last_reload_successful"


class FastDaemon(Daemon):
    """A daemon with short time limits and a heartbeat every two seconds."""

    module: ClassVar[str] = "support.fast_daemon"

    def __init__(
        self, folder: Path, configuration: Mapping[str, Any], under: tuple[str, ...] = (), **variables: str
    ) -> None:
        path = f"{ROOT / 'daemon'}:{TESTS}"
        super().__init__(folder, configuration, (), under, PYTHONPATH=path, WATCHDOG_USEC="12000000", **variables)

    @property
    def loader(self) -> int:
        """Return the loader's process id, 0 while there is none."""
        return next((pid for pid, line in self.children().items() if "probed.loader" in line), 0)

    def hang_up(self) -> None:
        """Send SIGHUP without waiting for the reload."""
        self.process.send_signal(signal.SIGHUP)

    def wait_for_log(self, text: str) -> str:
        """Wait for a line with this text in the log, and return the line."""
        until(lambda: text in self.log(), f"the log has: {text}")
        return next(line for line in self.log().splitlines() if text in line)

    def failures(self, probe: str) -> dict[str, float]:
        """Return the failed loads of a probe by reason."""
        return self.scrape().by("reason", FAILURES, probe=probe)


class StartFast(Protocol):
    """The fixture `start_fast`; `under` is a command that executes the daemon."""

    def __call__(self, configuration: Mapping[str, Any], *under: str, **variables: str) -> FastDaemon: ...


def ours(*names: str, **probes: Any) -> dict[str, Any]:
    """Return a site with these probes, shipped ones or those of the tests."""
    return site({**dict.fromkeys(names), **probes}, [PROBES, OWN_PROBES, ROOT / "tests" / "kernel" / "probes"])


def stop_while_it_compiles(daemon: FastDaemon) -> int:
    """Stop the next loader while it compiles its first probe; return its process id."""
    until(lambda: any("libbcc" in name for name in mapped_files(daemon.loader)), "a loader has BCC")
    loader = daemon.loader
    os.kill(loader, signal.SIGSTOP)
    return loader


def calls(program: Path, *counts: str) -> None:
    """Make system calls: pairs of a number and a count."""
    subprocess.run([program, *counts], check=True)


def spawn(spawner: Path, times: int, program: Path) -> None:
    """Run a program `times` times."""
    subprocess.run([spawner, str(times), program], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def few_files(pid: int, most: int) -> Iterator[None]:
    """Lower a running process's limit of open files meanwhile."""
    limits = read(pid, "limits").splitlines()
    soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
    _limit_files(pid, str(most), hard)
    yield
    _limit_files(pid, soft, hard)


def _limit_files(pid: int, soft: str, hard: str) -> None:
    """Set the limit as the process's own user; others need CAP_SYS_RESOURCE. Source: prlimit(2)."""
    uid, gid = (status_of(pid)[name].split()[0] for name in ("Uid", "Gid"))
    become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    subprocess.run([*become, "prlimit", f"--pid={pid}", f"--nofile={soft}:{hard}"], check=True)
