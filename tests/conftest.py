# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: the marker comes from the folder, and kernel tests run only where BPF works.

With PROBED_REQUIRE_KERNEL=1, as in CI, a kernel test that is skipped for whatever reason has failed.
"""

from __future__ import annotations

import os
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
        return "kernel tests load BPF programs: run them as root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "kernel tests need a kernel with BTF (/sys/kernel/btf/vmlinux)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its folder."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a kernel test where it cannot run."""
    if item.get_closest_marker("kernel") and why_no_bpf():
        pytest.skip(why_no_bpf())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Turn a skipped kernel test into a failed one where all of them must run."""
    report: pytest.TestReport = (yield).get_result()
    required = os.environ.get(REQUIRE_KERNEL) == "1" and item.get_closest_marker("kernel")
    if report.skipped and required and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_KERNEL}=1, but this test was skipped: {report.longrepr}"
