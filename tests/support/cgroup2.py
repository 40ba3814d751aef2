# SPDX-License-Identifier: Apache-2.0
"""Control groups made by hand in a test, in the cgroup2 hierarchy wherever it is mounted; they go with the test."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pytest

from support.running_daemon import PATIENCE, until


def mount_point() -> Path:
    """Return where cgroup2 is mounted; skips the test where it is not. Source: proc_pid_mountinfo(5)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4].encode().decode("unicode_escape"))
    pytest.skip("this test makes control groups: mount -t cgroup2 cgroup2 SOMEWHERE")


class Cgroups:
    """Makes control groups; on leaving the context what is in them is killed, and those that it made are removed."""

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
        """Make a control group, and those above it that are missing; `path` is relative to the hierarchy's root."""
        text = path if isinstance(path, str) else path.decode(errors="surrogateescape")
        group = self.root
        for part in text.split("/"):
            group /= part
            with suppress(FileExistsError):
                group.mkdir()
                self._made.append(group)
        return group

    def remove(self) -> None:
        """Remove all that it made, now."""
        self.__exit__(None, None, None)


def remove(group: Path) -> None:
    """Remove a control group and those below it; what still runs there is killed."""
    with suppress(FileNotFoundError):  # somebody else has removed it
        (group / "cgroup.kill").write_text("1")
    until(lambda: _try_to_remove(group), f"{group} is removed", PATIENCE)


def _try_to_remove(group: Path) -> bool:
    for below in sorted(group.rglob("*/"), reverse=True):
        with suppress(OSError):  # busy until what was killed has gone
            below.rmdir()
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


def run_in(group: Path, *command: str | Path, cwd: Path | None = None) -> None:
    """Run a command, in a folder, whose exec happens in a control group, and wait for it."""
    with start_in(group, *command, cwd=cwd) as process:
        pass
    assert process.returncode == 0, f"{command} in {group}: status {process.returncode}"


def start_in(group: Path, *command: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start it, and go on."""

    def join() -> None:
        (group / "cgroup.procs").write_text("0")

    return subprocess.Popen(list(map(str, command)), cwd=cwd, preexec_fn=join, stdout=subprocess.DEVNULL)  # noqa: PLW1509
