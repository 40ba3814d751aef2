# SPDX-License-Identifier: Apache-2.0
"""A starter's state that the daemon inherits costs neither a probe nor an event, nor the way to stop it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.kernel_fixtures import Install
from support.running_daemon import SHIPPED, Daemon, site

EXECS = "probed_process_execs_total"

STATES = {
    "SIGCHLD ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "SIGTERM and SIGHUP blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})",
    "standard files closed": "os.closerange(0, 3)",
    "a deleted current directory": "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "warnings are errors": "os.environ['PYTHONWARNINGS'] = 'error'",
    "small files": "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))",
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_inherited_state_costs_nothing(tmp_path: Path, install: Install, state: str) -> None:
    starter = f"import os, resource, signal, sys; {state}; os.execvp(sys.argv[1], sys.argv[1:])"
    program = install("exits")
    with Daemon(tmp_path, site(), under=(sys.executable, "-c", starter)) as daemon:
        daemon.wait_until_ready()
        subprocess.run([program], check=True)
        page = daemon.reload()
        assert page.by("probe", "probed_probe_up") == dict.fromkeys(SHIPPED, 1)
        assert page.total(EXECS, comm=program.name) == 1
        daemon.stop()
