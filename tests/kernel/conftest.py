# SPDX-License-Identifier: Apache-2.0
"""Workloads, compiled once and installed under names of their own, and daemons to count them.

A process's comm is its program's file name. So a test that runs a program under a name that nobody else has
finds exact counts under that name, however busy the machine is, and finds them starting at 0.
"""

from __future__ import annotations

import platform
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fixtures import Install, Start

from daemon import ROOT, Daemon, site, tail

SOURCES = Path(__file__).parents[1] / "workloads"
COMM = 15
"""Characters of a comm. Source: TASK_COMM_LEN of Linux include/linux/sched.h, which counts the NUL."""


def _compile(source: Path, program: Path) -> None:
    bare = source.stem == "exits" and platform.machine() == "x86_64"
    library = ["-nostdlib"] if bare else ["-pthread"]
    subprocess.run(["cc", "-static", "-O2", "-Wall", "-Werror", *library, "-o", program, source], check=True)


@pytest.fixture(scope="session")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all workloads, compiled."""
    if not shutil.which("cc"):
        pytest.skip("workloads are C: install gcc and libc6-dev")
    folder = tmp_path_factory.mktemp("workloads")
    for source in SOURCES.glob("*.c"):
        _compile(source, folder / source.stem)
    return folder


@pytest.fixture(scope="session")
def install(workloads: Path) -> Install:
    """Gives a workload a name, and so a comm, that nobody else has."""

    def install(workload: str) -> Path:
        suffix = f"-{secrets.token_hex(4)}"
        program = workloads / (workload[: COMM - len(suffix)] + suffix)
        program.hardlink_to(workloads / workload)
        return program

    return install


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with the shipped probes as declared, for all tests that only count with it."""
    with Daemon(tmp_path_factory.mktemp("daemon"), site()) as running:
        yield running.wait_until_ready()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts daemons of the test's own, ready when they are returned."""
    with ExitStack() as daemons:

        def start(configuration: Mapping[str, Any] | None = None, **variables: str) -> Daemon:
            folder = tmp_path / f"daemon-{secrets.token_hex(4)}"
            folder.mkdir()
            running = daemons.enter_context(Daemon(folder, configuration or site(), **variables))
            return running.wait_until_ready()

        yield start


@pytest.fixture
def readable_copy() -> Iterator[Path]:
    """A copy of the project that everybody may read: the tests may run from a private folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("daemon", "probes", "config"):
            shutil.copytree(ROOT / part, folder / part)
        folder.chmod(0o755)
        yield folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show the end of the daemons' logs with a failed test."""
    report: pytest.TestReport = (yield).get_result()
    if not report.failed or call.when == "teardown":
        return
    arguments: dict[str, Any] = getattr(item, "funcargs", {})
    logs = sorted(arguments["tmp_path"].rglob("probed.log")) if "tmp_path" in arguments else []
    if "daemon" in arguments:
        logs.append(arguments["daemon"].log_file)
    for log in logs:
        report.sections.append((f"the end of {log}", tail(log)))
