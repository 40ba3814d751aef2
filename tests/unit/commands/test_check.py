# SPDX-License-Identifier: Apache-2.0
"""`probed check` without a kernel: the kinds of files, pipes and output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from probed.commands import check


@pytest.mark.parametrize("folder", ["probed", "elsewhere"])
def test_a_site_configuration_is_one_also_in_a_folder_of_its_name(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / folder / "probed.yaml"
    path.parent.mkdir()
    path.write_text("probe_directories: [.]\nprobes: {nothing:}\nlogs:\n")
    assert check.run([str(path)], "", host=False) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{path}:3: logs: unknown key; did you mean 'log'?")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("tls_server_config: {cert_fil: x}\n", "/dev/stdin:1: tls_server_config.cert_fil: unknown key"),
        ("probe_directories: [.]\nprobes: {nothing: }\n", "/dev/stdin:2: probes.nothing: no probe 'nothing'"),
        ("probe_directories: [.]\nprobes: {nothing: }\nlogs:\n", "/dev/stdin:3: logs: unknown key"),
    ],
)
def test_a_pipe_is_read_once(text: str, place: str) -> None:
    command = [sys.executable, "-m", "probed", "check", "/dev/stdin"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(place)


def test_a_web_configuration_from_a_pipe_is_read_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe, end = os.pipe()
    os.write(end, b"rate_limit: {interval: 1s, burst: 1}\n")
    os.close(end)
    assert check.run([f"/dev/fd/{pipe}"], "", host=False) == 0
    assert capsys.readouterr().out == f"/dev/fd/{pipe}: no TLS, 0 users\n\n"
    os.close(pipe)


def test_an_endless_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(["/dev/zero"], "", host=False) == 1
    assert "has more than 4 MiB" in capsys.readouterr().err


def test_escape_sequences_of_a_file_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "probed.yaml"
    path.write_text('probe_directories: [.]\nprobes: {"\\e[31mred": }\n')
    assert check.run([str(path)], "", host=False) == 1
    assert "\\x1b[31mred" in capsys.readouterr().err
