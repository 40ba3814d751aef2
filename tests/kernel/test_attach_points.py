# SPDX-License-Identifier: Apache-2.0
"""Programs at functions of the kernel count exactly, or the kernel lacks the kind, and the probe says so.

tests/system/test_kernels.py has kernels with all kinds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from probed.ipc.attach_points import AttachPoint
from probed.linux import bpf
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.common.attachment import function_refusal
from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Daemon, Page, run_to_its_end, site, until

READS = {"traced_reads": "probed_traced_reads_total", "probed_reads": "probed_probed_reads_total"}
REASONS = {"traced_reads": "takes no program at fentry 'vfs_read'", "probed_reads": "has no multi links of kprobes"}
GOOD, FAILED = 1_013, 1_009


def takes_kprobes() -> bool:
    program = bpf.load_program(bpf.RETURN_0, "trial", bpf.KPROBES, bytearray())
    try:
        os.close(bpf.attach_kprobe_program(program, ["vfs_read"]))
    except OSError:
        return False
    finally:
        os.close(program)
    return True


@pytest.fixture(scope="module")
def kinds() -> dict[str, bool]:
    """Whether this kernel has the attach points of each probe."""
    point = AttachPoint("fentry", "vfs_read")
    return {"traced_reads": not function_refusal(Btf.read(VMLINUX), point), "probed_reads": takes_kprobes()}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    probes = dict.fromkeys([*READS, "notes", "syscalls"])
    with Daemon(tmp_path_factory.mktemp("attach-points"), site(probes, [PROBES, OWN_PROBES])) as running:
        yield running.wait_until_ready()


@pytest.mark.parametrize("probe", READS)
def test_a_probe_at_functions_counts_exactly_or_says_that_the_kernel_lacks_the_kind(
    daemon: Daemon, install: Install, kinds: dict[str, bool], probe: str
) -> None:
    program = install("reads")
    subprocess.run([program, str(GOOD), str(FAILED)], check=True)
    page = daemon.scrape()
    if kinds[probe]:
        assert page.value("probed_probe_up", probe=probe) == 1
        labels = {"comm": program.name, "bytes": "7"}
        assert page.total(READS[probe], point="entry", mode=str(os.O_RDONLY), **labels) == GOOD
        assert page.total(READS[probe], point="entry", mode=str(os.O_WRONLY), **labels) == FAILED
        assert page.total(READS[probe], comm=program.name, point="return", result="-9") == FAILED
    else:
        assert list(page.by("reason", "probed_probe_load_failures_total", probe=probe)) == ["attach_point"]
        assert f"probe '{probe}'" in daemon.log()
        assert REASONS[probe] in daemon.log()


CALLS, PAGES = 10_007, 1_009


class UserCalls:
    """The probe user_calls for a copy of the workload that only this test calls, by one loader or the other."""

    def __init__(self, folder: Path, workload: Path) -> None:
        self.probes, self.program = folder / "probes", folder / "program"
        self._workload = workload
        shutil.copytree(OWN_PROBES / "user_calls", self.probes / "user_calls")
        shutil.copytree(PROBES / "include", self.probes / "include", ignore=shutil.ignore_patterns("*.bpf.o"))
        declaration = self.probes / "user_calls" / "user_calls.yaml"
        declaration.write_text(declaration.read_text().replace("/usr/bin/user_calls", str(self.program)))
        self.update()

    def update(self) -> None:
        """Put a new file in place of the program, as a package manager does."""
        fresh = self.program.with_suffix(".new")
        shutil.copy(self._workload, fresh)
        fresh.rename(self.program)

    def build(self) -> None:
        subprocess.run([sys.executable, "-m", "probed", "build", self.probes], check=True, stdout=subprocess.DEVNULL)

    def site(self, loader: str) -> dict[str, Any]:
        return site({"user_calls": None}, [self.probes], loader=loader)

    def call(self, times: int = CALLS) -> None:
        subprocess.run([self.program, str(times)], check=True)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that every user can read, as /usr/bin: the loader gives up root's rights."""
    with tempfile.TemporaryDirectory(prefix="probed-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def user_calls(readable: Path, install: Install) -> UserCalls:
    return UserCalls(readable, install("user_calls"))


def sums(page: Page) -> dict[str, float]:
    counted = page.by("sum", "probed_user_calls_total")
    return {name: counted.get(name, 0) for name in ("calls", "arguments", "returns", "returned")}


def calls(*times: int) -> dict[str, float]:
    """Return the sums after runs of the workload: its arguments are the numbers from 0, and it doubles them."""
    arguments = sum(n * (n - 1) // 2 for n in times)
    return {"calls": sum(times), "arguments": arguments, "returns": sum(times), "returned": 2 * arguments}


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_calls_of_a_programs_function_are_counted_with_arguments_and_returned_values(
    start: Start, user_calls: UserCalls, loader: str
) -> None:
    if loader == "core":
        user_calls.build()
    daemon = start(user_calls.site(loader))
    user_calls.call()
    page = daemon.scrape()
    assert page.value("probed_probe_info", probe="user_calls", loader=loader) == 1
    assert sums(page) == calls(CALLS)
    assert page.by("sum", "probed_user_calls_total")["starts"] > 0


def test_a_reload_from_bcc_to_an_object_loses_no_call_of_a_function(start: Start, user_calls: UserCalls) -> None:
    daemon = start(user_calls.site("bcc"))
    user_calls.call(101)
    user_calls.build()
    calling = subprocess.Popen([user_calls.program, "1000003"])
    page = daemon.reload(user_calls.site("core"))
    assert page.value("probed_probe_info", probe="user_calls", loader="core") == 1
    assert calling.wait() == 0
    assert sums(daemon.scrape()) == calls(101, 1_000_003)


def test_after_an_update_of_the_file_a_reload_attaches_to_the_new_one(start: Start, user_calls: UserCalls) -> None:
    daemon = start(user_calls.site("bcc"))
    user_calls.update()
    user_calls.call(101)
    assert sums(daemon.scrape()) == calls()
    daemon.reload(user_calls.site("bcc"))
    user_calls.call(103)
    assert sums(daemon.scrape()) == calls(103)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("function: dubble_of", "has no function 'dubble_of'; near names: double_of"),
        ("file: {private}/program", "/private/program' cannot be read by the daemon's user"),
        ("file: no_such_program", "there is no file 'no_such_program' in /usr/lib/x86_64-linux-gnu"),
    ],
)
def test_check_names_a_missing_function_and_a_missing_file(user_calls: UserCalls, wrong: str, said: str) -> None:
    private = user_calls.probes / "private"
    private.mkdir(mode=0o700)
    wrong = wrong.format(private=private)
    declaration = user_calls.probes / "user_calls" / "user_calls.yaml"
    right = {"function": "function: double_of", "file": f"file: {user_calls.program}"}[wrong.partition(":")[0]]
    declaration.write_text(declaration.read_text().replace(right, wrong, 1))
    status, text = run_to_its_end("check", "--loader", "bcc", str(user_calls.probes / "user_calls"))
    assert status == 1
    assert f"{declaration}:4: programs.on_call.uprobe: " in text
    assert said in text


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_a_program_runs_at_each_page_fault_and_at_ticks_of_the_clock(
    start: Start, install: Install, tmp_path: Path, loader: str
) -> None:
    shutil.copytree(OWN_PROBES / "page_faults", tmp_path / "page_faults")
    shutil.copytree(PROBES / "include", tmp_path / "include", ignore=shutil.ignore_patterns("*.bpf.o"))
    if loader == "core":
        subprocess.run([sys.executable, "-m", "probed", "build", tmp_path], check=True, stdout=subprocess.DEVNULL)
    daemon = start(site({"page_faults": None}, [tmp_path], loader=loader))
    program = install("page_touches")
    subprocess.run([program, str(PAGES)], check=True)
    page = daemon.scrape()
    assert page.value("probed_probe_info", probe="page_faults", loader=loader) == 1
    assert max(page.by("address", "probed_page_faults_total", comm=program.name).values()) == PAGES
    until(lambda: daemon.scrape().value("probed_page_fault_ticks_total") > 0, "a CPU's clock has ticked")


def test_the_probes_beside_run(daemon: Daemon) -> None:
    up = daemon.scrape().by("probe", "probed_probe_up")
    assert (up["notes"], up["syscalls"]) == (1, 1)
