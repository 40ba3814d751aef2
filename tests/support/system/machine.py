# SPDX-License-Identifier: Apache-2.0
"""A booted system in a test, with commands, files and probed as a service.

`harness/boot-systemd` makes the namespaces that the module enters. Nothing outlives the context, nor the tests.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from support.processes import bpf_ids, command_line
from support.running_daemon import PATIENCE, ROOT, Page, tail, until
from support.system.rootfs import HARNESS
from support.workload_programs import compile_workloads, install

ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "SYSTEMD_PAGER": "",
}  # fmt: skip

UNIT: Final = ROOT / "packaging" / "systemd" / "probed.service"
SOCKET: Final = UNIT.with_suffix(".socket")
FROM_SOURCES: Final = Path(__file__).parents[2] / "system" / "from-sources.conf"
OUT: Final = Path("/out")
"""The path inside of the folder shared with the test."""

WORKLOADS: Final = ("calls", "exits", "fail_opens", "lives", "page_touches", "spawn")


class Machine:
    """A booted system; leaving the context kills all its processes."""

    def __init__(self, tree: Path, folder: Path, *arguments: str) -> None:
        """Boot `tree` with arguments for systemd; `folder` has the shared files and the log."""
        self.out = folder / "out"
        self.log_file = folder / "boot.log"
        self.out.mkdir()
        self.out.chmod(0o755)  # users of the system read the sources
        _share(self.out)
        with self.log_file.open("wb") as log:
            self._boot = subprocess.Popen(
                # The system ends with this process, however the process ends.
                ["setpriv", "--pdeathsig", "TERM", HARNESS / "boot-systemd", tree, self.out, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._boot.terminate()
        self._boot.wait(PATIENCE)

    def wait_until_up(self) -> Machine:
        """Wait until systemd has started all units; return the machine. Raises AssertionError for a failed unit."""
        until(self._has_pid, "PID 1 runs")
        until(lambda: self.call("test", "-S", "/run/systemd/private") == 0, "systemd can be talked to")
        state = self.ask("systemctl", "is-system-running", "--wait").strip()
        assert state == "running", f"the system is {state}:\n{self.ask('systemctl', '--failed')}"
        self.run("useradd", "--system", "probed")
        return self

    def _has_pid(self) -> bool:
        assert self._boot.poll() is None, f"boot-systemd ended with {self._boot.returncode}:\n{tail(self.log_file)}"
        return (self.out / "pid").exists()

    @property
    def pid(self) -> int:
        """Return the process id of its PID 1, outside."""
        return int((self.out / "pid").read_text())

    @property
    def root(self) -> Path:
        """Return its root folder, as seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    # root runs commands inside, but in no cgroup of the system; systemd-run gives each a cgroup.

    def enter(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command and return its result."""
        namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), *namespaces, "--", *map(str, command)],
            env=ENVIRONMENT, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip

    def call(self, *command: str | Path) -> int:
        """Run a command; return its exit status."""
        return self.enter(*command).returncode

    def ask(self, *command: str | Path) -> str:
        """Run a command; return its standard output, failed or not."""
        return self.enter(*command).stdout

    def run(self, *command: str | Path) -> str:
        """Run a command and assert its success; return its standard output."""
        done = self.enter(*command)
        said = f"{done.stdout}{done.stderr}"
        assert done.returncode == 0, f"{' '.join(map(str, command))}: exit status {done.returncode}\n{said}"
        return done.stdout

    def transient(self, *arguments: str | Path) -> str:
        """Run a command in a transient unit to its end; return its standard output."""
        return self.run("systemd-run", "--quiet", "--collect", "--wait", "--pipe", *arguments)

    def show(self, unit: str, what: str) -> str:
        """Return one property of a unit. Source: org.freedesktop.systemd1(5)."""
        return self.run("systemctl", "show", "--value", f"--property={what}", unit).strip()

    def install(self, workload: str) -> Path:
        """Give a workload a fresh name, and so a fresh comm; return its path inside."""
        return OUT / install(self.out / "bin", workload).relative_to(self.out)

    def write(self, path: str, text: str) -> None:
        """Write a file inside, and make its folders."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _share(out: Path) -> None:
    """Fill the folder /out of the system with probed's sources, their byte code, and workloads."""
    for name in ("daemon", "probes", "config"):
        shutil.copytree(ROOT / name, out / "probed" / name, ignore=shutil.ignore_patterns("*.egg-info"))
    (out / "bin").mkdir()
    compile_workloads(out / "bin", *WORKLOADS)


class Service:
    """probed@PORT.service of a machine, stopped with the machine or by `stop`."""

    def __init__(
        self,
        machine: Machine,
        port: int,
        settings: Mapping[str, str] | None = None,
        *,
        socket: bool = False,
        may_fail: bool = False,
    ) -> None:
        """Start the service; `settings` add to the [Service] section or replace settings of the unit file.

        With `socket` only the .socket unit is started. With `may_fail` the start may fail.
        """
        self.machine = machine
        self.port = port
        self.unit = f"probed@{port}.service"
        machine.write("/etc/systemd/system/probed@.service", UNIT.read_text())
        machine.write("/etc/systemd/system/probed@.service.d/from-sources.conf", FROM_SOURCES.read_text())
        lines = "".join(f"{name}={value}\n" for name, value in (settings or {}).items())
        machine.write(f"/run/systemd/system/{self.unit}.d/test.conf", f"[Service]\n{lines}")
        if socket:
            machine.write("/etc/systemd/system/probed@.socket", SOCKET.read_text())
            lines = "[Socket]\nListenStream=\nListenStream=127.0.0.1:%i\n"
            machine.write("/etc/systemd/system/probed@.socket.d/test.conf", lines)
        machine.run("systemctl", "daemon-reload")
        start = machine.enter("systemctl", "start", self.socket_unit if socket else self.unit)
        assert may_fail or start.returncode == 0, f"{start.stderr}\n{self.log_tail()}"

    @property
    def socket_unit(self) -> str:
        """The name of its .socket unit."""
        return f"probed@{self.port}.socket"

    def journal(self, message_id: str) -> list[dict[str, str]]:
        """Return the journal's lines with this message id and all their fields, oldest first."""
        lines = self.machine.ask("journalctl", "--unit", self.unit, "--output=json", f"MESSAGE_ID={message_id}")
        return list(map(json.loads, lines.splitlines()))

    def is_ready(self) -> bool:
        """Return whether the service is ready. Raises AssertionError when the service has ended."""
        state = self.machine.show(self.unit, "ActiveState")
        assert state == "active", f"{self.unit} is {state}:\n{self.log_tail()}"
        return self._get("/-/ready").returncode == 0

    def wait_until_ready(self) -> Self:
        """Wait until the service is ready; return the service."""
        until(self.is_ready, "probed is ready")
        return self

    def scrape(self) -> Page:
        """Scrape the metrics page."""
        got = self._get("/metrics", 30)  # the first one may start the service, on a busy machine
        assert got.returncode == 0, f"{got.stderr}\n{self.log_tail()}"
        return Page.parse(got.stdout)

    def _get(self, path: str, seconds: int = 5) -> subprocess.CompletedProcess[str]:
        # The supervisor's sockets take connections even without an exporter.
        return self.machine.enter("curl", "-sSf", "--max-time", f"{seconds}", f"http://127.0.0.1:{self.port}{path}")

    def log_tail(self) -> str:
        """Return the last lines of its journal."""
        return self.machine.ask("journalctl", "--unit", self.unit, "--output=cat", "--lines=60")

    def processes(self) -> list[int]:
        """Return the process ids of the service as seen from outside. Source: Linux admin-guide/cgroup-v2.rst."""
        group = self.machine.show(self.unit, "ControlGroup")
        try:
            return list(map(int, (self.machine.root / f"sys/fs/cgroup{group}/cgroup.procs").read_text().split()))
        except OSError as error:  # the service has just ended: ENOENT, or ENODEV for an open file
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            return []

    def show(self, name: str) -> str:
        """Return one property of its unit."""
        return self.machine.show(self.unit, name)

    @property
    def supervisor(self) -> int:
        """Return the supervisor's process id, outside; 0 while there is none."""
        return self._of_module("probed")

    @property
    def exporter(self) -> int:
        """Return the exporter's process id, outside; 0 while there is none."""
        return self._of_module("probed.exporter")

    def _of_module(self, module: str) -> int:
        lines = {pid: command_line(pid) for pid in self.processes()}
        return next((pid for pid, line in lines.items() if f"-m {module} " in line), 0)

    def bpf_ids(self) -> set[tuple[str, int]]:
        """Return the service's BPF objects: ("prog_id" or "map_id", id)."""
        return set[tuple[str, int]]().union(*map(bpf_ids, self.processes()))

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Send one of its processes a signal."""
        assert pid in self.processes()
        os.kill(pid, number)

    def restart(self) -> None:
        """Restart the service, and return once systemd reports the start."""
        self.machine.run("systemctl", "restart", self.unit)

    def stop(self) -> tuple[str, str]:
        """Stop the service; return systemd's result and the exit status."""
        self.machine.run("systemctl", "stop", self.unit)
        return self.machine.show(self.unit, "Result"), self.machine.show(self.unit, "ExecMainStatus")
