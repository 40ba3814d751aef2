# SPDX-License-Identifier: Apache-2.0
"""One daemon for all tests that only count, and a copy of the project for tests as another user."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running_daemon import ROOT, Daemon, site

ROWS = 5_000
"""Series budget of the session's daemon, which also counts the programs and units of the tests beside."""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with the shipped probes as declared, and room for every series."""
    with Daemon(tmp_path_factory.mktemp("daemon"), site(series={"budget": ROWS})) as running:
        yield running.wait_until_ready()


@pytest.fixture
def readable_copy() -> Iterator[Path]:
    """A world-readable copy of the project, since tests may run from a private folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("daemon", "probes", "config"):
            shutil.copytree(ROOT / part, folder / part)
        folder.chmod(0o755)
        yield folder
