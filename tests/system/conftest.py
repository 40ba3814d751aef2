# SPDX-License-Identifier: Apache-2.0
"""One booted system for all tests, with probed as a service with two capabilities."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from support.system.machine import Machine, Service
from support.system.rootfs import rootfs

PORT = 9788


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted system."""
    with Machine(rootfs(), tmp_path_factory.mktemp("machine")) as booted:
        yield booted.wait_until_up()


@pytest.fixture(scope="session")
def probed(machine: Machine) -> Service:
    """One probed for all tests that only count."""
    return Service(machine, PORT).wait_until_ready()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show the end of probed's journal with a failed test."""
    report: pytest.TestReport = (yield).get_result()
    service: Service | None = getattr(item, "funcargs", {}).get("probed")
    if report.failed and call.when != "teardown" and service is not None:
        report.sections.append((f"the end of the journal of {service.unit}", service.log_tail()))
