# SPDX-License-Identifier: Apache-2.0
"""Control groups for one test, in the mounted cgroup2 hierarchy."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pytest

from support.running_daemon import PATIENCE, until


def mount_point() -> Path:
    """Return the mount point of cgroup2; skips the test without one. Source: proc_pid_mountinfo(5)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4].encode().decode("unicode_escape"))
    pytest.skip("this test makes control groups: mount -t cgroup2 cgroup2 SOMEWHERE")


class Cgroups:
    """Makes control groups; leaving the context kills their processes and removes the groups."""

    def __init__(self) -> None:
        self.root = mount_point()
        self._made: list[Path] = []

    def __enter__(self) -> Cgroups:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._made:
            remove(self._made.pop())

    def make(self, path: str | bytes) -> Path:
        """Make a control group and its missing parents; `path` is relative to the hierarchy's root."""
        text = path if isinstance(path, str) else path.decode(errors="surrogateescape")
        group = self.root
        for part in text.split("/"):
            group /= part
            with suppress(FileExistsError):
                group.mkdir()
                self._made.append(group)
        return group

    def remove(self) -> None:
        """Remove all its control groups now."""
        self.__exit__(None, None, None)


def remove(group: Path) -> None:
    """Kill the processes of a control group, and remove the group and its children."""
    with suppress(FileNotFoundError):  # another process has removed the group
        (group / "cgroup.kill").write_text("1")
    until(lambda: _try_to_remove(group), f"{group} is removed", PATIENCE)


def _try_to_remove(group: Path) -> bool:
    for below in sorted(group.rglob("*/"), reverse=True):
        with suppress(OSError):  # busy until the killed processes are reaped
            below.rmdir()
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


def run_in(group: Path, *command: str | Path, cwd: Path | None = None) -> None:
    """Run a command in a control group, exec included, and wait for its end."""
    with start_in(group, *command, cwd=cwd) as process:
        pass
    assert process.returncode == 0, f"{command} in {group}: status {process.returncode}"


def start_in(group: Path, *command: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a command in a control group without waiting for its end."""

    def join() -> None:
        (group / "cgroup.procs").write_text("0")

    return subprocess.Popen(list(map(str, command)), cwd=cwd, preexec_fn=join, stdout=subprocess.DEVNULL)  # noqa: PLW1509
