# SPDX-License-Identifier: Apache-2.0
"""Objects of the shipped probes count as BCC's programs do, and take over from them without a lost count."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from probed.linux.bpf import BPF_F_NO_PREALLOC
from probed.linux.threads import max_threads
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.common.host import ALLOCATOR, LEAST_PROCESSES, MOST_PROCESSES
from support.cgroup2 import Cgroups, run_in
from support.kernel_fixtures import NOBODY, OWN_PROBES, Install, Start
from support.processes import descriptors
from support.running_daemon import PROBES, ROOT, SHIPPED, Daemon, Page, rise, run_to_its_end, site, until

EXECS = "probed_process_execs_total"
LIFETIMES = "probed_process_lifetime_seconds_count"
FAILURES = "probed_open_failures_total"
CALLS = "probed_syscalls_total"
ENDS = {"ok": ("0", 101), "error": ("exit 7", 29), "signal": ("signal 15", 31)}


@pytest.fixture(scope="module", params=["bcc", "core"])
def both(request: pytest.FixtureRequest, objects: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon by each loader."""
    configuration = site(directories=[objects], loader=request.param)
    with Daemon(tmp_path_factory.mktemp(request.param), configuration) as running:
        yield running.wait_until_ready()


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    with Cgroups() as made:
        yield made


@pytest.fixture
def folder(objects: Path, tmp_path: Path) -> Path:
    """The shipped probes with fresh objects, to be changed."""
    return Path(shutil.copytree(objects, tmp_path / "probes"))


def way(folder: Path, loader: str, **more: Any) -> dict[str, Any]:
    return site(directories=[folder], loader=loader, **more)


def loaders(page: Page) -> dict[str, str]:
    """Return the loader of each probe on the page."""
    info = [dict(labels) for name, labels in page if name == "probed_probe_info"]
    return {each["probe"]: each["loader"] for each in info}


def assert_nothing_lost(page: Page) -> None:
    for probe in SHIPPED:
        assert page.lost(probe) == 0, probe
        assert page.emitted(probe) == page.accounted(probe), probe


def test_every_probe_is_up_and_the_page_names_the_loader(both: Daemon, request: pytest.FixtureRequest) -> None:
    page, loader = both.scrape(), request.node.callspec.params["both"]
    assert {probe: page.value("probed_probe_up", probe=probe) for probe in SHIPPED} == dict.fromkeys(SHIPPED, 1)
    assert loaders(page) == dict.fromkeys(SHIPPED, loader)


@pytest.mark.parametrize("kind", ENDS)
def test_processes_are_counted_by_parent_and_end(both: Daemon, install: Install, kind: str) -> None:
    how, times = ENDS[kind]
    spawner, program = install("spawn"), install("exits" if kind == "ok" else "exit_kinds")
    arguments = how.split() if kind != "ok" else []
    subprocess.run([spawner, str(times), program, *arguments], check=True, stdout=subprocess.DEVNULL)
    page = both.scrape()
    assert page.by("parent", EXECS, comm=program.name) == {spawner.name: times}
    assert page.by("exit", LIFETIMES, comm=program.name) == {kind: times}
    assert_nothing_lost(page)


def test_failed_opens_are_counted_by_errno(both: Daemon, install: Install, tmp_path: Path) -> None:
    program, wanted = install("fail_opens"), {"ENOENT": 1_009, "ENOTDIR": 503, "EMFILE": 101}
    for errno, times in wanted.items():
        subprocess.run([program, "openat", errno, str(times)], cwd=tmp_path, check=True)
    page = both.scrape()
    assert page.by("errno", FAILURES, comm=program.name) == wanted
    assert_nothing_lost(page)


def test_label_sets_in_turns_are_counted(both: Daemon, install: Install, tmp_path: Path) -> None:
    subprocess.run([install("takes_turns"), "10007", "11", "both"], cwd=tmp_path, check=True)
    counted = {comm: n for comm, n in both.scrape().by("comm", FAILURES).items() if comm.startswith("both-")}
    assert counted == {f"both-{number}": 10_007 // 11 + (number < 10_007 % 11) for number in range(11)}


def test_processes_of_a_control_group_are_counted_by_unit(both: Daemon, install: Install, cgroups: Cgroups) -> None:
    program = install("exits")
    run_in(cgroups.make("both-loaders.service"), install("spawn"), "101", program)
    assert both.scrape().by("unit", EXECS, comm=program.name) == {"both-loaders.service": 101}


def test_system_calls_are_counted(both: Daemon, install: Install) -> None:
    before = both.scrape()
    subprocess.run([install("calls"), "sched_rr_get_interval", "10007"], check=True)
    assert rise(before, both.scrape(), CALLS, syscall="sched_rr_get_interval") == 10_007


def test_notes_on_processes_take_memory_only_as_long_as_they_are_there(both: Daemon) -> None:
    """The maps `last_exec` and `ended` are the only hashes from u32 of such sizes."""
    maps = [each for each in descriptors(both.exporter) if "map_id" in each]
    hashes = [each for each in maps if (each["map_type"], each["key_size"]) == ("1", "4")]
    processes = min(max(max_threads(), LEAST_PROCESSES), MOST_PROCESSES)
    sizes = {str(processes // 16), str(processes // 64)}
    flags = {each["map_flags"] for each in hashes if each["max_entries"] in sizes}
    assert flags == {hex(BPF_F_NO_PREALLOC) if _has_allocator() else "0x0"}


def _has_allocator() -> bool:
    return bool(Btf.read(VMLINUX).find(Kind.STRUCT, ALLOCATOR))


def test_a_reload_from_bcc_to_objects_loses_no_count(
    start: Start, install: Install, folder: Path, tmp_path: Path
) -> None:
    daemon, program, opener = start(way(folder, "bcc")), install("exits"), install("fail_opens")
    begun = daemon.scrape()
    subprocess.run([opener, "openat", "ENOENT", "503"], cwd=tmp_path, check=True)
    spawning = subprocess.Popen([install("spawn"), "3001", program], stdout=subprocess.DEVNULL)
    opening = subprocess.Popen([opener, "openat", "ENOTDIR", "1000003"], cwd=tmp_path)
    calling = subprocess.Popen([install("calls"), "sched_rr_get_interval", "1000003"])
    page = daemon.reload(way(folder, "auto"))
    assert loaders(page) == dict.fromkeys(SHIPPED, "core")
    assert (spawning.wait(), opening.wait(), calling.wait()) == (0, 0, 0)
    assert_all_counted(begun, daemon.scrape(), program, opener)
    restarts = daemon.scrape().value("probed_exporter_restarts_total")
    daemon.kill_exporter()
    until(lambda: _restarted(daemon, restarts), "another exporter serves")
    assert_all_counted(begun, daemon.scrape(), program, opener)


def assert_all_counted(begun: Page, page: Page, program: Path, opener: Path) -> None:
    assert page.total(EXECS, comm=program.name) == 3_001
    assert page.by("exit", LIFETIMES, comm=program.name) == {"ok": 3_001}
    assert page.by("errno", FAILURES, comm=opener.name) == {"ENOENT": 503, "ENOTDIR": 1_000_003}
    assert rise(begun, page, CALLS, syscall="sched_rr_get_interval") == 1_000_003
    assert_nothing_lost(page)


def _restarted(daemon: Daemon, restarts: float) -> bool:
    return daemon.is_ready() and daemon.scrape().value("probed_exporter_restarts_total") > restarts


def test_an_object_of_other_sources_is_told_and_not_used(start: Start, folder: Path) -> None:
    source = folder / "process" / "process.bpf.c"
    source.write_text(source.read_text() + "\n")
    daemon = start(way(folder, "auto"))
    assert loaders(daemon.scrape()) == dict.fromkeys(SHIPPED, "core") | {"process": "bcc"}
    assert "probe 'process': BCC compiles it" in daemon.log()
    assert "process.x86_64.bpf.o: is stale" in daemon.log()


def test_the_loader_core_takes_no_source(start: Start, folder: Path) -> None:
    (folder / "process" / "process.x86_64.bpf.o").unlink()
    daemon = start(way(folder, "core"))
    assert "probe 'process': there is no object of it, and the loader 'core' takes no source" in daemon.log()
    up = {probe: daemon.scrape().value("probed_probe_up", probe=probe) for probe in SHIPPED}
    assert up == dict.fromkeys(SHIPPED, 1) | {"process": 0}


WITHOUT_BCC = "import sys\nsys.modules['bcc'] = None\n"
"""A sitecustomize.py for a Python without BCC."""

WITHOUT_CLANG = {"PATH": "/nonexistent"}


@pytest.mark.parametrize(
    ("bcc", "clang", "said"),
    [
        (True, True, "loader bcc\n"),
        (True, False, "loader bcc\n"),
        (False, True, "loader core, compiled with clang for this check, because BCC is not installed\n"),
        (False, False, "apt install python3-bpfcc, or build objects elsewhere with 'probed build'\n"),
    ],
    ids=["both", "bcc", "clang", "neither"],
)
def test_check_takes_the_compiler_that_is_there(tmp_path: Path, bcc: bool, clang: bool, said: str) -> None:
    folder = shutil.copytree(PROBES, tmp_path / "probes", ignore=shutil.ignore_patterns("*.bpf.o"))
    (tmp_path / "sitecustomize.py").write_text("" if bcc else WITHOUT_BCC)
    path = {} if clang else WITHOUT_CLANG
    status, text = run_to_its_end("check", str(folder / "process"), PYTHONPATH=f"{tmp_path}:{ROOT / 'daemon'}", **path)
    assert said in text
    assert status == (0 if bcc or clang else 1)


def test_clang_and_bcc_report_mistakes_alike(tmp_path: Path) -> None:
    source = Path(shutil.copytree(PROBES, tmp_path / "probes")) / "process" / "process.bpf.c"
    source.write_text(source.read_text().replace("count_event(&event)", "count_evnt(&event)", 1))
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_BCC)
    by_clang = run_to_its_end("check", str(source.parent), PYTHONPATH=f"{tmp_path}:{ROOT / 'daemon'}")
    assert by_clang == run_to_its_end("check", str(source.parent))
    assert by_clang[0] == 1
    assert "implicit declaration of function 'count_evnt'" in by_clang[1]


ONLY_BCC = """\
#include "probed.bpf.h"

BPF_HASH(counts, u32, u64, 1);
%s

PROGRAM(on_event)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	return %s;
}
"""


@pytest.mark.parametrize(
    ("declared", "returned", "said"),
    [
        ("struct bucket {\n\tu32 number;\n};", "0", "4: redefinition of 'bucket'; an object has all types"),
        ("enum { TCP_LISTEN = 10 };", "TCP_LISTEN", "4: redefinition of enumerator 'TCP_LISTEN'; an object has all"),
        ("", "READ((struct task_struct *)READ(task, real_parent), pid)", "READ and LOAD do not nest: put the value"),
    ],
)
def test_c_that_only_bcc_takes_is_explained(folder: Path, declared: str, returned: str, said: str) -> None:
    probe = Path(shutil.copytree(OWN_PROBES / "refused", folder / "refused"))
    (probe / "refused.bpf.c").write_text(ONLY_BCC % (declared, returned))
    assert run_to_its_end("check", "--loader", "bcc", str(probe))[0] == 0
    status, text = run_to_its_end("build", str(probe))
    assert (status, text.count(said)) == (1, 1), text


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("refused", "the kernel's verifier refuses program 'on_event': R0 invalid mem access 'map_value_or_null'"),
        ("nowhere", "this kernel has no raw tracepoint 'sched_proces_exec'; near names: sched_process_exec"),
    ],
)
def test_a_load_that_fails_reads_as_with_bcc(folder: Path, probe: str, said: str) -> None:
    path = str(shutil.copytree(OWN_PROBES / probe, folder / probe))
    assert run_to_its_end("build", path)[0] == 0
    for loader in ("core", "bcc"):
        status, text = run_to_its_end("check", "--host", "--loader", loader, path)
        assert status == 1
        assert said in text


LATER_C = """\
#include "probed.bpf.h"

BPF_HASH(counts, u32, u64, 1);

struct task_struct___later {
	u32 later_member;
} __attribute__((preserve_access_index));

PROGRAM(on_event)
{
	struct task_struct___later *task = (struct task_struct___later *)ctx->args[0];
	u32 member = READ(task, later_member);
	u64 one = 1;

	counts.update(&member, &one);
	return 0;
}
"""


def test_a_member_that_this_kernel_lacks_is_named(folder: Path) -> None:
    (folder / "later").mkdir()
    (folder / "later" / "later.bpf.c").write_text(LATER_C)
    declaration = (OWN_PROBES / "refused" / "refused.yaml").read_text().replace("refused", "later")
    (folder / "later" / "later.yaml").write_text(declaration)
    assert run_to_its_end("build", str(folder / "later"))[0] == 0
    status, text = run_to_its_end("check", "--host", "--loader", "core", str(folder / "later"))
    assert status == 1
    assert "the running kernel's 'struct task_struct' has no member 'later_member', which the C reads" in text


def test_an_ordinary_user_checks_objects(readable_copy: Path, objects: Path) -> None:
    shutil.copytree(objects, readable_copy / "built")
    status, text = run_to_its_end(
        "check", "--loader", "core", *(str(readable_copy / "built" / name) for name in SHIPPED), under=NOBODY,
        python=str(Path(sys.executable).resolve()), PYTHONPATH=str(readable_copy / "daemon"),
    )  # fmt: skip
    assert (status, text.count("  loader core, object ")) == (0, 4), text
