# SPDX-License-Identifier: Apache-2.0
"""Probes and configuration in a folder with a name of other bytes than UTF-8, of blanks, quotes and backslashes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.kernel_fixtures import OWN_PROBES
from support.running_daemon import Daemon, run_to_its_end, site

NAME = os.fsdecode(b'caf\xe9 "a\\b\xff\n')
SHOWN = 'caf\\xe9 "a\\b\\xff'
PROBES = ("wakeups", "garbled")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / NAME
    for name in PROBES:
        shutil.copytree(OWN_PROBES / name, folder / "probes" / name)
    return folder


def test_a_daemon_runs_and_reloads_there(folder: Path) -> None:
    configuration = site(dict.fromkeys(PROBES), [Path("probes")])
    with Daemon(folder, configuration, arguments=("--log.format", "json")) as daemon:
        page = daemon.wait_until_ready().scrape()
        assert page.by("probe", "probed_probe_up") == {"wakeups": 1}
        assert page.by("reason", "probed_probe_load_failures_total", probe="garbled") == {"compile": 1}
        status, landing = daemon.get("/")
        assert status == 200
        assert "garbled.bpf.c:8: use of undeclared identifier" in landing.decode()
        assert "caf\\xe9" in landing.decode()
        again = daemon.reload(site({"wakeups": None}, [Path("probes")]))
        assert again.by("probe", "probed_probe_up") == {"wakeups": 1}
        daemon.stop()


@pytest.mark.parametrize("arguments", [("check",), ("check", "--host"), ("doctor", "--config.file")])
def test_the_commands_name_files_there(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "probed.yaml").write_text("probe_directories: [probes]\nprobes: {wakeups: , garbled: }\n")
    status, text = run_to_its_end(*arguments, str(folder / "probed.yaml"))
    assert status == 1
    assert SHOWN in text
    assert "garbled.bpf.c:8: use of undeclared identifier" in " ".join(text.split())  # `doctor` breaks long lines
    assert "Traceback" not in text


def test_the_list_is_read_there(folder: Path) -> None:
    (folder / "probed.yaml").write_text("probe_directories: [probes]\nprobes: {wakeups: }\n")
    status, text = run_to_its_end("list", "--config.file", str(folder / "probed.yaml"))
    assert status == 0
    assert "probed_wakeups_total" in text
