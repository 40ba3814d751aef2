# SPDX-License-Identifier: Apache-2.0
"""Gauges of rows: programs at iterators count exactly what there is at the scrape, by both loaders."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from probed.config.files import standalone_probe
from probed.exporter.bpf.row_source import RowSource
from probed.ipc.loader_process import ProbeHandle, load_all
from probed.ipc.manifest import FdName, LoaderChoice
from probed.loader.btf.reader import VMLINUX
from probed.supervisor.hooks import Hooks
from probed.supervisor.systemd.fdstore import Store
from support.cgroup2 import Cgroups
from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Daemon, Page, run_to_its_end, site, until
from support.workload_programs import fresh_letters

THREADS, PROCESSES = "probed_tasks_threads", "probed_tasks_processes"
FILES_OF_EACH = 5
"""Standard input, output and error, and both ends of a pipe."""


class Sleepers:
    """Processes that sleep, of one program with a fresh name."""

    def __init__(self, program: Path, processes: int, threads: int = 1, group: Path | None = None) -> None:
        def join() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text("0")

        self.comm = program.name
        self.process = subprocess.Popen(
            [program, str(processes), str(threads)], bufsize=0, preexec_fn=join,  # noqa: PLW1509
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._hear("born")

    def _hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n".encode()

    def end(self, processes: int) -> None:
        assert self.process.stdin is not None
        for _ in range(processes):
            self.process.stdin.write(b"x")
            self._hear("ended")

    def close(self) -> None:
        """End all processes, which the parent reaps: here the first process may not."""
        with self.process:
            pass

    def children(self) -> list[int]:
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@contextmanager
def sleepers(install: Install, *counts: tuple[int, int]) -> Iterator[list[Sleepers]]:
    """Yield sleeping processes, for each number of processes and of threads under a name of their own."""
    with ExitStack() as stack:
        made = []
        for processes, threads in counts:
            made.append(Sleepers(install("sleepers"), processes, threads))
            stack.callback(made[-1].close)
        yield made


def built(folder: Path, probe: str, loader: str) -> Path:
    """Return a folder with a probe; for the loader core with an object."""
    shutil.copytree(PROBES / "include", folder / "include", ignore=shutil.ignore_patterns("*.bpf.o"))
    shutil.copytree(OWN_PROBES / probe, folder / probe)
    if loader == "core":
        build(folder)
    return folder


def build(folder: Path) -> None:
    status, text = run_to_its_end("build", str(folder))
    if "apt install" in text:
        pytest.skip(f"no objects: {text.strip()}")
    assert status == 0, text


@pytest.fixture(params=["bcc", "core"])
def daemon(request: pytest.FixtureRequest, start: Start, tmp_path: Path) -> Daemon:
    """A daemon with the probe `tasks`, by one loader or the other."""
    folder = built(tmp_path / "probes", "tasks", request.param)
    loader = "bcc" if request.param == "bcc" else "auto"
    daemon = start(site({"cgroups": None, "tasks": None}, [folder, PROBES], loader=loader))
    assert daemon.scrape().value("probed_probe_info", probe="tasks", loader=request.param) == 1
    return daemon


def counts(page: Page, made: list[Sleepers]) -> list[tuple[float, float]]:
    """Return the processes and threads of each program on a page."""
    return [(page.value(PROCESSES, comm=each.comm), page.value(THREADS, comm=each.comm)) for each in made]


def test_a_gauge_counts_what_there_is_at_the_scrape(daemon: Daemon, install: Install) -> None:
    with sleepers(install, (101, 1), (97, 3)) as made:
        assert counts(daemon.scrape(), made) == [(101, 101), (97, 291)]
        made[0].end(31)
        made[1].end(96)
        assert counts(daemon.scrape(), made) == [(70, 70), (1, 3)]
        made[0].end(70)
        page = daemon.scrape()
        assert counts(page, made) == [(0, 0), (1, 3)]
        assert (THREADS, frozenset({("comm", made[0].comm)})) not in page
        made[1].end(1)
        page = daemon.scrape()
        assert counts(page, made) == [(0, 0), (0, 0)]
    attached = page.by("attach", "probed_program_info", probe="tasks")
    assert attached == {"iterator:task": 1, "iterator:task_file": 1, "iterator:tcp": 1}
    assert page.total("probed_probe_cut_readings_total") == 0


def test_a_gauge_adds_up_a_member_and_chooses_rows(daemon: Daemon, install: Install) -> None:
    scores = [499, 997, 13]
    with sleepers(install, (3, 7)) as (family,):
        for pid, score in zip(family.children(), scores, strict=True):
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))
        page = daemon.scrape()
        assert page.value("probed_tasks_oom_excess", comm=family.comm) == sum(scores) - 3 * 1000
        assert page.value("probed_tasks_open_files", comm=family.comm) == 3 * FILES_OF_EACH


def test_a_gauge_adds_up_the_rows_of_several_programs(daemon: Daemon, install: Install) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(7)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(sockets[0].getsockname() if each is not sockets[0] else ("127.0.0.1", 0))
            each.listen()
        page = daemon.scrape()
        assert page.value("probed_tasks_listening", port=str(sockets[0].getsockname()[1])) == 7
        parts = [THREADS, "probed_tasks_open_files", "probed_tasks_listening"]
        assert page.value("probed_tasks_rows") == sum(page.total(name) for name in parts)


def test_units_over_the_budget_are_added_up_in_other(daemon: Daemon, install: Install) -> None:
    threads = [13, 11, 7, 1]
    with Cgroups() as cgroups, ExitStack() as stack:
        made = {}
        for number in threads:
            made[unit := f"test-{fresh_letters()}.service"] = 101 * number + 1  # with the parent
            family = Sleepers(install("sleepers"), 101, number, cgroups.make(f"system.slice/{unit}"))
            stack.callback(family.close)
        page = daemon.scrape()
        shown = page.by("unit", "probed_tasks_of_unit")
        assert [shown.get(unit, 0) for unit in made] == [*[*made.values()][:3], 0]
        assert sum(shown.values()) == page.total(THREADS)
        assert len(shown) == 4


def test_a_new_exporter_reads_the_same_iterators(daemon: Daemon, install: Install) -> None:
    with sleepers(install, (61, 1)) as made:
        assert counts(daemon.scrape(), made) == [(61, 61)]
        before = daemon.exporter
        daemon.kill_exporter()
        made[0].end(19)
        until(lambda: daemon.exporter not in (0, before) and daemon.is_ready(), "another exporter serves")
        assert counts(daemon.scrape(), made) == [(42, 42)]


def test_a_reload_from_bcc_to_an_object_goes_on(start: Start, install: Install, tmp_path: Path) -> None:
    folder = built(tmp_path / "probes", "tasks", "bcc")
    daemon = start(site({"tasks": None}, [folder]))
    with sleepers(install, (53, 1)) as made:
        assert counts(daemon.scrape(), made) == [(53, 53)]
        build(folder)
        page = daemon.reload(site({"tasks": None}, [folder], loader="core"))
        assert page.value("probed_probe_info", probe="tasks", loader="core") == 1
        assert counts(page, made) == [(53, 53)]
        made[0].end(53)
        assert counts(daemon.scrape(), made) == [(0, 0)]
    page = daemon.reload(site({"cgroups": None}))
    assert page.total("probed_tasks_rows") == 0


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_control_groups_are_counted_as_far_as_the_kernel_tells(start: Start, tmp_path: Path, loader: str) -> None:
    folder = built(tmp_path / "probes", "groups", loader)
    daemon = start(site({"groups": None}, [folder], loader=loader))
    with Cgroups() as cgroups:
        for number in range(101):
            cgroups.make(f"one/two/three/four/five/six/seven/{number}")
        page = daemon.scrape()
        root = page.value("probed_groups", level="0")
        assert root == 1
        assert 101 in page.by("level", "probed_groups").values()
        assert page.value("probed_probe_cut_readings_total", probe="groups", program="each_group") == 0
        source = folder / "groups" / "groups.bpf.c"
        source.write_text(source.read_text().replace("padding[4]", "padding[380]"))
        if loader == "core":
            build(folder)
        cut = daemon.reload()
        assert cut.value("probed_probe_cut_readings_total", probe="groups", program="each_group") > 0
        assert cut.total("probed_groups") == 32_768 // 384


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_the_next_supervisor_takes_the_links_over(install: Install, tmp_path: Path, loader: LoaderChoice) -> None:
    stored: dict[int, str] = {}

    def send(status: str, fds: Sequence[int] = ()) -> None:
        name = dict(line.split("=", 1) for line in status.splitlines())["FDNAME"]
        stored.update((os.dup(fd), name) for fd in fds)

    folder = built(tmp_path / "probes", "tasks", loader)
    request = standalone_probe(folder / "tasks", str(VMLINUX), loader).request
    (handle,) = load_all([request], "attach").values()
    assert isinstance(handle, ProbeHandle)
    Hooks(Store(send), {}).attach(handle, "")
    handle.close()
    (taken,) = Hooks(Store(send), {}).take_over(stored)
    assert taken.loaded == handle.loaded
    assert taken.loaded.row is not None
    with sleepers(install, (41, 3)) as (family,):
        source = RowSource(taken.fds[FdName("iterator", "each_task")], taken.loaded.row)
        assert source.read()
        rows, _ = source.values(None, {})
        assert rows["comm"].tolist().count(family.comm.encode().ljust(16, b"\0")) == 41 * 3
    taken.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("task_fil", "this kernel has no iterator 'task_fil'; near names: task_file"),
        ("bpf_map_elem", "this kernel has no iterator 'bpf_map_elem'; near names: bpf_map"),
        ("nothing_like_it", "this kernel has no iterator 'nothing_like_it'; iterators here: "),
    ],
)
@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_check_names_a_missing_iterator(tmp_path: Path, loader: str, wrong: str, said: str) -> None:
    folder = built(tmp_path / "probes", "tasks", "bcc") / "tasks"
    declaration = folder / "tasks.yaml"
    declaration.write_text(re.sub(r"iterator: task\b", f"iterator: {wrong}", declaration.read_text(), count=1))
    if loader == "core":
        build(folder.parent)
    status, text = run_to_its_end("check", "--loader", loader, str(folder))
    assert status == 1
    assert f"{declaration}:4: programs.each_task.iterator: {said}" in text
