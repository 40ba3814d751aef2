# SPDX-License-Identifier: Apache-2.0
"""Landlock holds a process without a seccomp filter; each attempt is in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from probed.linux import landlock

DAEMON = Path(__file__).parents[3] / "daemon"

PREAMBLE = """
import ctypes, errno, os, signal, socket, sys
sys.path.insert(0, {daemon!r})
from probed.linux import landlock, syscalls
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
server = socket.create_server(("127.0.0.1", 0))
parent = int(sys.argv[1])
left, right = socket.socketpair()
landlock.restrict()
try:
    {statement}
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("done")
"""


def tried(statement: str, folder: Path, abi: int) -> str:
    """Return the result of a statement in a process with a Landlock domain: an errno, or "done"."""
    if landlock.abi() < abi:
        pytest.skip(f"this kernel's Landlock has ABI {landlock.abi()}, the test needs {abi}")
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            code = PREAMBLE.format(daemon=str(DAEMON), statement=statement)
            command = [sys.executable, "-c", code, str(other.pid)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
            assert other.poll() is None, "the other process got a signal"
        finally:
            other.kill()
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("statement", "abi", "error"),
    [
        ("open('new', 'w')", 1, "EACCES"),
        ("os.mkdir('new')", 1, "EACCES"),
        ("os.unlink('old')", 1, "EACCES"),
        ("os.execv('/bin/true', ['true'])", 1, "EACCES"),
        ("os.truncate('old', 0)", 3, "EACCES"),
        ("socket.create_connection(server.getsockname())", 4, "EACCES"),
        ("socket.create_server(('127.0.0.1', 0))", 4, "EACCES"),
        ("os.kill(parent, signal.SIGTERM)", 6, "EPERM"),
    ],
)
def test_a_restricted_process_cannot(statement: str, abi: int, error: str, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    assert tried(statement, tmp_path, abi) == error


def test_no_signal_leaves_through_a_descriptor(tmp_path: Path) -> None:
    statement = (
        "import fcntl; fcntl.fcntl(left, fcntl.F_SETSIG, signal.SIGTERM); fcntl.fcntl(left, fcntl.F_SETOWN, parent); "
        "fcntl.fcntl(left, fcntl.F_SETFL, os.O_ASYNC); right.send(b'x')"
    )
    assert tried(statement, tmp_path, 6) == "done"


@pytest.mark.parametrize("statement", ["open('old').read()", "os.listdir('.')", "os.kill(os.getpid(), 0)"])
def test_a_restricted_process_can(statement: str, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    assert tried(statement, tmp_path, 1) == "done"
