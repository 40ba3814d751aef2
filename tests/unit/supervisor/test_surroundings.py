# SPDX-License-Identifier: Apache-2.0
"""State that a starter leaves behind does not reach the supervisor; each test has a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import probed

DAEMON = Path(probed.__file__).parents[1]


def settled(before: str, tell: str, *, folder: Path, **variables: str) -> str:
    """Return the output of `tell` in a process that ran `before`, and then settled its surroundings."""
    code = f"""
import os, resource, signal, sys, warnings
{before}
from probed.supervisor.surroundings import settle
settle()
{tell}
"""
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(DAEMON), "PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("before", "tell"),
    [
        (
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
            "print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn('/bin/false', ['false'], {}), 0)[1]) == 1)",
        ),
        (
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])",
            "print(signal.pthread_sigmask(signal.SIG_BLOCK, []) == set())",
        ),
        ("os.close(2); sys.stderr = None", "print(os.fstat(2).st_rdev == os.stat('/dev/null').st_rdev, end='') or "
         "print('' if sys.stderr.write('x') else 'no')"),
        ("os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')", "print(os.getcwd() == '/')"),
        (
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))",
            "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE); print(soft == hard)",
        ),
    ],
    ids=["SIGCHLD ignored", "signals blocked", "standard error closed", "directory deleted", "small file limit"],
)  # fmt: skip
def test_inherited_state_is_undone(before: str, tell: str, tmp_path: Path) -> None:
    assert settled(before, tell, folder=tmp_path) == "True"


def test_warnings_are_no_errors_here_and_in_children(tmp_path: Path) -> None:
    tell = "warnings.warn('old', DeprecationWarning); print('PYTHONWARNINGS' in os.environ)"
    assert settled("", tell, folder=tmp_path, PYTHONWARNINGS="error") == "False"
