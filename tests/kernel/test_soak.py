# SPDX-License-Identifier: Apache-2.0
"""A short soak works; finding leaks takes a longer one."""

from __future__ import annotations

import os
import subprocess
import sys

from support.running_daemon import PATIENCE, ROOT

SECONDS = float(os.environ.get("PROBED_SOAK_SECONDS", "60"))


def test_nothing_grows_in_a_short_soak() -> None:
    command = [sys.executable, "-m", "soak", "--seconds", f"{SECONDS:g}"]
    path = f"{ROOT / 'tests'}:{ROOT / 'daemon'}"
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, timeout=SECONDS + 3 * PATIENCE, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "nothing grew past its bound" in done.stdout
