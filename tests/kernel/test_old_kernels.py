# SPDX-License-Identifier: Apache-2.0
"""BCC compiles every probe for kernels that lack newer helpers, where it rewrites more of the C."""

from __future__ import annotations

import os
import subprocess
import sys

from support.kernel_fixtures import OWN_PROBES
from support.running_daemon import PROBES, ROOT, environment

OF_SITES = ("bucketed", "call_paths", "crowd", "notes", "observed", "owners", "tasks", "wakeups")


def test_every_probe_compiles_without_types_of_the_current_task() -> None:
    shipped = sorted(path.parent for path in PROBES.glob("*/*.yaml"))
    folders = [*shipped, *(OWN_PROBES / name for name in OF_SITES)]
    command = [sys.executable, "-m", "support.compile_for_old_kernels", *map(str, folders)]
    path = f"{ROOT / 'daemon'}{os.pathsep}{ROOT / 'tests'}"
    result = subprocess.run(command, env=environment(PYTHONPATH=path), capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(folders) == 28
