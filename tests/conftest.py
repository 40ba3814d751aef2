# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: the marker comes from the folder, and each runs only where it can.

Kernel tests need BPF, system tests also what boots a system. With PROBED_REQUIRE_KERNEL=1, as in CI, one of these that
is skipped for whatever reason has failed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FOLDERS = ("unit", "kernel", "system")
REQUIRE_KERNEL = "PROBED_REQUIRE_KERNEL"


@cache
def why_no_bpf() -> str:
    """Return why kernel tests cannot run here, "" when they can."""
    if os.geteuid() != 0:
        return "kernel and system tests load BPF programs: run them as root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "kernel and system tests need a kernel with BTF (/sys/kernel/btf/vmlinux)"
    return ""


@cache
def why_no_system() -> str:
    """Return why system tests cannot run here, "" when they can."""
    missing = [program for program in ("mmdebstrap", "unshare", "nsenter") if not shutil.which(program)]
    if missing:
        return f"system tests boot a system: install {', '.join(missing)} (mmdebstrap, util-linux)"
    if " - cgroup2 " not in Path("/proc/self/mountinfo").read_text():
        return "system tests need cgroup2, wherever it is mounted: mount -t cgroup2 cgroup2 SOMEWHERE"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its folder; a storm of names, which fills the budgets of every daemon there is, comes last."""
    items.sort(key=lambda item: item.path.stem == "test_cardinality")
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test where it cannot run."""
    folders = {folder for folder in FOLDERS if item.get_closest_marker(folder)}
    reason = ""
    if folders & {"kernel", "system"}:
        reason = why_no_bpf()
    if "system" in folders:
        reason = reason or why_no_system()
    if reason:
        pytest.skip(reason)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Turn a skipped test of the kernel or of a system into a failed one where all of them must run."""
    report: pytest.TestReport = (yield).get_result()
    ours = any(item.get_closest_marker(folder) for folder in ("kernel", "system"))
    if report.skipped and ours and os.environ.get(REQUIRE_KERNEL) == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_KERNEL}=1, but this test was skipped: {report.longrepr}"
