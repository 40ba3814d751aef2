# SPDX-License-Identifier: Apache-2.0
"""The first loader and exporter run before the supervisor is ready, and end with a refused configuration."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from probed.errors import ConfigurationError
from probed.ipc import first_children
from probed.ipc.loader_messages import Files, Refused
from probed.ipc.loader_process import wait
from support.running_daemon import environment

BTF = "/sys/kernel/btf/vmlinux"


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_both_end_with_a_refused_configuration(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError),
        first_children.first_children(Files(str(tmp_path / "none.yaml"), BTF, None)) as children,
    ):
        assert children.exporter is not None
        exporter = children.exporter.pid
        event = None
        while event is None:
            event = wait(children.loader)
        assert isinstance(event, Refused)
        raise ConfigurationError(event.text)
    assert children.loader.done
    assert has_ended(exporter)


def test_without_a_process_for_the_exporter_the_loader_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> first_children.ExporterChild:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(first_children, "start_exporter", fail)
    with first_children.first_children(Files(str(tmp_path / "none.yaml"), BTF, None)) as children:
        assert children.exporter is None
        assert not children.loader.done
        children.loader.abort()


def test_an_exporter_whose_supervisor_ends_first_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        done = subprocess.run(
            [sys.executable, "-m", "probed.exporter", str(theirs.fileno())],
            env=environment(), pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
