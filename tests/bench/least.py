# SPDX-License-Identifier: Apache-2.0
"""Two Pythons with the daemon's unavoidable imports and wake-ups but no work: the floor of its cost.

`memory` and `idle` start both; ``python -m bench.least NAME`` is one.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from probed.exporter.lean_imports import left_out

NEEDED: Final = {
    "supervisor": ("argparse", "dataclasses", "json", "logging", "signal", "socket", "subprocess"),
    "exporter": (
        "dataclasses", "json", "logging", "socket", "seccomp",
        "numpy", "h11", "prometheus_client.process_collector",
    ),
}  # fmt: skip

PERIOD: Final = 30.0
"""Seconds between two wake-ups: the exporter's heartbeat."""


@contextmanager
def processes() -> Iterator[dict[str, int]]:
    """Run both, and yield their process ids by the name of the process they stand for."""
    from probed.ipc.first_children import FRUGAL  # imported here: it imports modules that the processes lack

    running = {}
    try:
        for name in NEEDED:
            command = [sys.executable, "-m", "bench.least", name]
            running[name] = subprocess.Popen(
                command, env=os.environ | FRUGAL, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        for process in running.values():
            assert process.stdout is not None
            process.stdout.readline()
        yield {name: process.pid for name, process in running.items()}
    finally:
        for process in running.values():
            process.communicate()


def main(name: str) -> None:
    """Import the modules, print a line, and wake up until standard input ends."""
    with left_out():
        for module in NEEDED[name]:
            import_module(module)
    os.write(1, b"\n")
    while not select.select([sys.stdin], [], [], PERIOD)[0]:
        pass


if __name__ == "__main__":
    main(sys.argv[1])
