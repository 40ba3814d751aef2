# SPDX-License-Identifier: Apache-2.0
"""Descriptor 2, captured within a loader and elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from probed.ipc import loader_output
from probed.loader.errors.stderr import captured_stderr, redirect


@contextmanager
def loaders_stderr() -> Iterator[int]:
    """Make descriptor 2 memory, as in a loader; yield the supervisor's descriptor of the memory."""
    saved, memory = os.dup(2), loader_output.create()
    redirect(os.dup(memory))
    try:
        yield memory
    finally:
        redirect(saved)


def test_what_is_captured_elsewhere_goes_nowhere_else(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as said:
        os.write(2, b"an error\n")
    os.write(2, b"later\n")
    assert said == ["an error\n"]
    assert capfd.readouterr().err == "later\n"


def test_the_supervisor_can_read_what_a_loader_captures_until_the_end() -> None:
    with loaders_stderr() as memory:
        os.write(2, b"before\n")
        with captured_stderr() as said:
            os.write(2, b"an error\n")
            meanwhile = os.pread(memory, 100, 0)
        os.write(2, b"after\n")
    assert meanwhile == b"before\nan error\n"
    assert said == ["an error\n"]
    assert loader_output.take(memory) == "before\nafter\n"
