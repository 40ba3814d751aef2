# SPDX-License-Identifier: Apache-2.0
"""A starter's state that the daemon inherits costs no probe and no event, and the daemon still stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.kernel_fixtures import Install
from support.running_daemon import Daemon, site

STATES = (
    "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})",
    "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "os.environ['PYTHONWARNINGS'] = 'error'",
    "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))",
    "os.closerange(0, 3)",
)
"""All at once, for the time of one start; test_surroundings.py has each alone."""


def test_inherited_state_costs_nothing(tmp_path: Path, install: Install) -> None:
    starter = f"import os, resource, signal, sys; {'; '.join(STATES)}; os.execvp(sys.argv[1], sys.argv[1:])"
    program = install("exits")
    with Daemon(tmp_path, site({"cgroups": None, "process": None}), under=(sys.executable, "-c", starter)) as daemon:
        daemon.wait_until_ready()
        subprocess.run([program], check=True)
        page = daemon.reload()
        assert page.by("probe", "probed_probe_up") == {"cgroups": 1, "process": 1}
        assert page.total("probed_process_execs_total", comm=program.name) == 1
        daemon.stop()
