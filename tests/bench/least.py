# SPDX-License-Identifier: Apache-2.0
"""Two Pythons that have what the daemon's two cannot be without, wake as often, and do nothing: the floor under both.

`memory` and `idle` start them; ``python -m bench.least NAME`` is one of them.
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

PERIOD: Final = 20.0
"""Seconds from one wake-up to the next: a pulse of the exporter's."""


@contextmanager
def processes() -> Iterator[dict[str, int]]:
    """Run both, and give their process ids by what they stand for."""
    from probed.supervisor.exporter_process import (
        FRUGAL,  # not in the processes themselves: it brings half the supervisor
    )

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
    """Import what is needed, say so, and turn until standard input ends."""
    with left_out():
        for module in NEEDED[name]:
            import_module(module)
    os.write(1, b"\n")
    while not select.select([sys.stdin], [], [], PERIOD)[0]:
        pass


if __name__ == "__main__":
    main(sys.argv[1])
