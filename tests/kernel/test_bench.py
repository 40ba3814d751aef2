# SPDX-License-Identifier: Apache-2.0
"""A short bench runs every measurement; the test ignores the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.__main__ import MEASUREMENTS
from support.running_daemon import ROOT

PATIENCE = 180.0


def test_a_short_bench_measures_everything(tmp_path: Path) -> None:
    result = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "--short", "--json", str(result)]
    path = f"{ROOT / 'tests'}:{ROOT / 'daemon'}"
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path}, timeout=PATIENCE, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = json.loads(result.read_text())
    assert {"kernel", "cpu", "commit", "numpy"} <= set(found["machine"])
    assert set(found["figures"]) == set(MEASUREMENTS)
    assert all(found["figures"].values())
