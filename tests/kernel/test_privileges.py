# SPDX-License-Identifier: Apache-2.0
"""Supervisor and exporter keep the least privileges, files and memory."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from probed.exporter.main import DESCRIPTORS
from support.kernel_fixtures import Install, Start
from support.processes import mapped_files, proportional_bytes, status_of
from support.running_daemon import (
    PATIENCE,
    PROBES,
    SHIPPED,
    Daemon,
    run_to_its_end,
    site,
    until,
)


def test_the_exporter_has_room_for_descriptors_before_it_has_threads(daemon: Daemon) -> None:
    """With threads, the kernel waits for all CPUs whenever the table of descriptors grows."""
    assert int(status_of(daemon.exporter)["FDSize"]) >= DESCRIPTORS


def test_the_exporter_has_no_capability(daemon: Daemon) -> None:
    status = status_of(daemon.exporter)
    sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert sets == dict.fromkeys(sets, 0)
    assert status["NoNewPrivs"] == "1"


def test_the_exporter_has_a_filter_of_its_own_for_system_calls(daemon: Daemon) -> None:
    filters = {pid: int(status_of(pid)["Seccomp_filters"]) for pid in (daemon.supervisor, daemon.exporter)}
    assert filters[daemon.exporter] == filters[daemon.supervisor] + 2


def test_the_exporter_is_another_user(daemon: Daemon) -> None:
    status = status_of(daemon.exporter)
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert "0" not in status["Groups"].split()


def test_the_exporters_user_may_have_an_odd_name(tmp_path: Path) -> None:
    name, uid = "EXAMPLE\\j.Doe$", "64321"
    users = tmp_path / "passwd"
    users.write_text(f"{Path('/etc/passwd').read_text()}{name}:x:{uid}:{uid}::/:/bin/false\n")
    own_users = ("unshare", "--mount", "sh", "-ec", f'mount --bind "{users}" /etc/passwd; exec "$@"', "sh")
    with Daemon(tmp_path, site({"cgroups": None}, exporter={"user": name}), under=own_users) as daemon:
        daemon.wait_until_ready()
        assert status_of(daemon.exporter)["Uid"].split() == [uid] * 4


def test_the_supervisor_keeps_no_more_than_it_needs(daemon: Daemon) -> None:
    sys_admin = 1 << 21
    status = status_of(daemon.supervisor)
    assert not int(status["CapEff"], 16) & sys_admin
    assert not int(status["CapBnd"], 16) & sys_admin


def test_root_may_start_in_a_folder_that_the_compilers_user_cannot_reach(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    status, text = run_to_its_end("check", str(PROBES), under=("env", f"--chdir={private}"))
    assert status == 0, text
    assert all(f"{name}: " in text for name in SHIPPED)


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_probed_runs_from_a_folder_that_only_root_may_read(
    start: Start, objects: Path, readable_copy: Path, loader: str
) -> None:
    shutil.copytree(objects, readable_copy / "probes", dirs_exist_ok=True)
    readable_copy.chmod(0o700)
    wanted = site(directories=[readable_copy / "probes"], loader=loader)
    daemon = start(wanted, PYTHONPATH=str(readable_copy / "daemon"))
    page = daemon.reload(wanted)
    assert {name: page.value("probed_probe_up", probe=name) for name in SHIPPED} == dict.fromkeys(SHIPPED, 1)


THIEF_YAML = """\
description: Reads a file of root.
programs:
  on_exit: {raw_tracepoint: sched_process_exit}
ring: {bytes: 4 KiB}
metrics:
  probed_thefts_total: {type: counter, help: Thefts.}
"""


def test_a_source_includes_no_file_of_root(start: Start, tmp_path: Path) -> None:
    """The compiler would show the file's first words as unknown types, and the landing page shows its errors."""
    private, folder = tmp_path / "private", tmp_path / "probes" / "thief"
    private.write_text("hunter2 swordfish\n")
    private.chmod(0o600)
    folder.mkdir(parents=True)
    (folder / "thief.yaml").write_text(THIEF_YAML)
    (folder / "thief.bpf.c").write_text(f'#include "{private}"\n#include "probed.bpf.h"\n')
    daemon = start(site({"process": None, "thief": None}, [PROBES, folder.parent]))
    page = daemon.get("/")[1].decode()
    assert str(private.name) in page
    assert "hunter2" not in page + daemon.log()
    assert daemon.scrape().value("probed_probe_up", probe="thief") == 0
    assert daemon.scrape().value("probed_probe_up", probe="process") == 1


def test_only_supervisor_and_exporter_remain(daemon: Daemon) -> None:
    until(lambda: list(daemon.children()) == [daemon.exporter], "the exporter is the only child", 10)


@pytest.mark.parametrize("process", ["supervisor", "exporter"])
def test_the_compiler_is_not_mapped(daemon: Daemon, process: str) -> None:
    files = mapped_files(getattr(daemon, process))
    assert files
    assert [file for file in files if "llvm" in file.lower() or "bcc" in file or "clang" in file] == []


def test_supervisor_and_exporter_hold_less_than_60_mb(start: Start, install: Install, tmp_path: Path) -> None:
    daemon = start()
    go_round_the_ring = [install("fail_opens"), "openat", "ENOENT", "500009"]
    subprocess.run(list(map(str, go_round_the_ring)), cwd=tmp_path, check=True)
    daemon.scrape()
    held = {pid: proportional_bytes(pid) for pid in (daemon.supervisor, daemon.exporter)}
    assert sum(held.values()) < 60e6, held


def test_no_temporary_file_is_left(start: Start, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    headers = set(Path("/tmp").glob("kheaders-*"))
    daemon = start(TMPDIR=str(temporary))
    until(lambda: list(daemon.children()) == [daemon.exporter], "the loader is gone", PATIENCE)
    assert list(temporary.iterdir()) == []
    assert set(Path("/tmp").glob("kheaders-*")) == headers
