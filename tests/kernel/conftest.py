# SPDX-License-Identifier: Apache-2.0
"""One daemon for all tests that only count; shipped probes as objects; a copy of the project."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running_daemon import PROBES, ROOT, Daemon, command, environment, site

ROWS = 5_000
"""Series budget of the session's daemon, which also counts the programs and units of the tests beside."""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with the shipped probes as declared, and room for every series."""
    with Daemon(tmp_path_factory.mktemp("daemon"), site(series={"budget": ROWS})) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped probes, with objects; skips the test without the tools."""
    directory = tmp_path_factory.mktemp("objects") / "probes"
    shutil.copytree(PROBES, directory, ignore=shutil.ignore_patterns("*.bpf.o"))
    # Without a time limit, which a busy machine may exceed.
    built = subprocess.run(
        command("build", str(directory)), env=environment(), check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if "apt install" in built.stdout:
        pytest.skip(f"no objects: {built.stdout.strip()}")
    assert built.returncode == 0, built.stdout
    return directory


@pytest.fixture
def readable_copy() -> Iterator[Path]:
    """A world-readable copy of the project, since tests may run from a private folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("daemon", "probes", "config"):
            shutil.copytree(ROOT / part, folder / part)
        folder.chmod(0o755)
        yield folder
