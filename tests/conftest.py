# SPDX-License-Identifier: Apache-2.0
"""Markers by folder, groups for parallel runs, and fixtures for workloads and daemons.

Kernel tests need BPF, system tests also the tools to boot a system. With PROBED_REQUIRE_KERNEL=1, as in CI, a skipped
kernel or system test has failed.

A process's comm is its program's file name. So a test that runs a program under a fresh name finds exact counts from 0
under the name, however busy the machine is.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from support import workload_programs
from support.running_daemon import Daemon, Start, site, tail

# The time of an example depends on the machine.
settings.register_profile("probed", deadline=None)
settings.load_profile("probed")

HERE = Path(__file__).parent
FOLDERS = {"unit": "unit", "kernel": "kernel", "faults": "kernel", "system": "system"}
"""The marker of each folder's tests."""
REQUIRE_KERNEL = "PROBED_REQUIRE_KERNEL"
GUEST = {"test_kernels", "test_kernel_states"}
"""Files with tests in virtual machines."""
STORM = {
    *(
        "test_abuse",
        "test_bench",
        "test_evidence",
        "test_execs",
        "test_loss",
        "test_opens",
        "test_programs",
        "test_service",
        "test_soak",
        "test_survival",
        "test_tail",
        "test_units_of_systemd",
        "test_wake_ups",
        "test_weights",
    ),
    *("test_cgroup_burst", "test_hostile_names", "test_cardinality"),
}
"""Files with tests that load every daemon of the machine, its rings and its budgets: no other test runs beside them."""
NAMES = {"test_hostile_names", "test_cardinality"}
"""Files with storms of names, which take all rows of every daemon: they run last."""
SLOW = {
    *(
        "test_abuse",
        "test_bench",
        "test_both_loaders",
        "test_cardinality",
        "test_cgroup_burst",
        "test_doctor",
        "test_evidence",
        "test_hostile_names",
        "test_soak",
        "test_survival",
        "test_tail",
        "test_weights",
    ),
    *("test_exhaustion", "test_files", "test_loader"),
    *(
        "test_alerts",
        "test_container_engines",
        "test_dashboards",
        "test_fleet",
        "test_increase",
        "test_kubernetes",
        "test_native_histograms",
        "test_package",
    ),
    *("test_service_restarts", "test_service_watchdog", "test_service_journal", "test_units_of_systemd"),
}
"""Files outside of unit with tests that `make test` has no time for: most take more than half a minute.

Unit tests with the mark `slow` are left out there too."""
LEFT_OUT = pytest.StashKey[Counter[str]]()


@cache
def why_no_bpf() -> str:
    """Return why kernel tests cannot run on this host, "" when possible."""
    if os.geteuid() != 0:
        return "kernel and system tests load BPF programs: run them as root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "kernel and system tests need a kernel with BTF (/sys/kernel/btf/vmlinux)"
    return ""


@cache
def why_no_system() -> str:
    """Return why system tests cannot run on this host, "" when possible."""
    missing = [program for program in ("mmdebstrap", "unshare", "nsenter") if not shutil.which(program)]
    if missing:
        return f"system tests boot a system: install {', '.join(missing)} (mmdebstrap, util-linux)"
    if " - cgroup2 " not in Path("/proc/self/mountinfo").read_text():
        return "system tests need cgroup2, wherever it is mounted: mount -t cgroup2 cgroup2 SOMEWHERE"
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by folder and file; put storms last, and at the end those that fill all budgets.

    pytest-xdist runs each group in one process in order, and unit tests in any process. Tests of two groups run side by
    side, so they must not make the same rare system calls.
    """
    items.sort(key=lambda item: (item.path.stem in STORM, item.path.stem in NAMES))
    for item in items:
        folder, file = item.path.relative_to(HERE).parts[0], item.path.stem
        if folder in FOLDERS:
            item.add_marker(FOLDERS[folder])
        if folder == "unit":
            continue
        for marker, files in (("guest", GUEST), ("storm", STORM), ("slow", SLOW)):
            if file in files:
                item.add_marker(marker)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a report with a path that is not UTF-8 pass from a process of pytest-xdist to the other."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_encodable, value))
    return value


def group_of(node_id: str) -> str:
    """Return the group of a test: guests have their own kernels, system tests mostly wait, unit tests are alone."""
    path = Path(node_id.partition("::")[0])
    folder = path.parts[1]
    if folder == "unit":
        return node_id
    return "guests" if path.stem in GUEST else "system" if folder == "system" else "kernel"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have pytest-xdist run the tests of a group in one process.

    Its own --dist loadgroup (3.8) groups nothing under pytest 9.2: it appends the group to a node id that pytest no
    longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group_of
    return scheduler


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the tests that -m leaves out, by file."""
    for item in filter(is_left_out, items):
        item.config.stash.setdefault(LEFT_OUT, Counter())[str(item.path.relative_to(HERE.parent))] += 1


def is_left_out(item: pytest.Item) -> bool:
    """Return whether -m leaves out a test as slow or guest; other runs take storms and the rest."""
    words = item.config.option.markexpr
    excluded = set(re.findall(r"not (\w+)", words))
    required = set(re.findall(r"\w+", words)) - excluded - {"and", "not"}
    markers = {marker.name for marker in item.iter_markers()}
    return required <= markers and "storm" not in excluded & markers and bool(excluded & markers)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts from a worker process of pytest-xdist to the process that reports."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        left_out = session.config.stash.get(LEFT_OUT, Counter())
        output["left_out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker process; each has collected all tests."""
    node.config.stash[LEFT_OUT] = Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List the tests left out, and the command to run all."""
    left_out = config.stash.get(LEFT_OUT, Counter())
    if left_out:
        terminalreporter.section("left out")
        for path, count in sorted(left_out.items()):
            terminalreporter.line(f"{count} of {path}")
        terminalreporter.line("all of them run with: make test-all")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that cannot run on this host."""
    markers = {marker for marker in FOLDERS.values() if item.get_closest_marker(marker)}
    reason = ""
    if markers & {"kernel", "system"}:
        reason = why_no_bpf()
    if "system" in markers:
        reason = reason or why_no_system()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> workload_programs.Install:
    """Gives a workload a fresh name, and so a fresh comm."""
    folder = tmp_path_factory.mktemp("workloads")
    workload_programs.compile_workloads(folder)
    return lambda workload: workload_programs.install(folder, workload)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts daemons for one test, and returns each when ready."""
    with ExitStack() as daemons:

        def start(configuration: Mapping[str, Any] | None = None, **variables: str) -> Daemon:
            folder = tmp_path / f"daemon-{secrets.token_hex(4)}"
            folder.mkdir()
            running = daemons.enter_context(Daemon(folder, configuration or site(), **variables))
            return running.wait_until_ready()

        yield start


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show the end of the daemons' logs with a failed test.

    Turn a skipped kernel or system test into a failed one where all must run.
    """
    report: pytest.TestReport = (yield).get_result()
    if report.failed and call.when != "teardown":
        report.sections += [(f"the end of {log}", tail(log)) for log in _logs(getattr(item, "funcargs", {}))]
    ours = any(item.get_closest_marker(folder) for folder in ("kernel", "system"))
    if report.skipped and ours and os.environ.get(REQUIRE_KERNEL) == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_KERNEL}=1, but this test was skipped: {report.longrepr}"


def _logs(arguments: Mapping[str, Any]) -> list[Path]:
    """Return the logs of a test's daemons."""
    logs = sorted(arguments["tmp_path"].rglob("probed.log")) if "tmp_path" in arguments else []
    return [*logs, arguments["daemon"].log_file] if isinstance(arguments.get("daemon"), Daemon) else logs
