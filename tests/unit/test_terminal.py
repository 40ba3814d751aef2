# SPDX-License-Identifier: Apache-2.0
"""Output of the commands: escape sequences, closed pipes and full disks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from probed.terminal import printable

PROBED = [sys.executable, "-m", "probed"]
CONFIGURATION = Path(__file__).parents[2] / "config/probed.yaml"
COMMANDS = [["list", "--config.file", str(CONFIGURATION)], ["version"], ["--help"], ["check", "--help"]]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a\tb\nc é 試", "a\tb\nc é 試"),
        ("\x1b[31mred\x07\r", "\\x1b[31mred\\x07\\r"),
        ("\x9b1m\x7f", "\\x9b1m\\x7f"),
        ("\u202eright to left\u2028", "\\u202eright to left\\u2028"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
    ],
)
def test_characters_that_do_not_print_are_shown_as_escapes(text: str, printed: str) -> None:
    assert printable(text) == printed


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_leaves_ends_a_command_as_sigpipe_does(command: list[str]) -> None:
    with subprocess.Popen([*PROBED, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_is_an_error_with_its_cause(command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PROBED, *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "probed: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_standard_stream_is_no_error_of_its_own(stream: str) -> None:
    redirect = {"stdout": ">&-", "stderr": "2>&-"}[stream]
    done = subprocess.run(
        f"{sys.executable} -m probed version {redirect}", shell=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
