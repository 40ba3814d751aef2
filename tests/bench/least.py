# SPDX-License-Identifier: Apache-2.0
"""Two Pythons with the daemon's unavoidable imports and wake-ups but no work: the floor of its cost.

The second one answers each request with the same bytes. `memory`, `idle` and `peer` start both; ``python -m bench.least
NAME`` is one.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


PAGE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\nConnection: close\r\n\r\n" + bytes(30_000)
"""About as large as the page of the shipped probes on an idle machine."""


@dataclass(frozen=True, slots=True)
class Least:
    """Both processes, and the port of the one that answers requests."""

    pids: tuple[int, ...]
    port: int

    def scrape(self) -> None:
        """Read the page. Raises OSError."""
        import urllib.request  # imported here, as below: the processes lack these modules

        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as answer:
            answer.read()


@contextmanager
def processes() -> Iterator[Least]:
    """Run both, from the moment when both have imported their modules."""
    from probed.ipc.first_children import FRUGAL

    running: list[subprocess.Popen[bytes]] = []
    port = 0
    try:
        for name in NEEDED:
            command = [sys.executable, "-m", "bench.least", name]
            running.append(
                subprocess.Popen(command, env=os.environ | FRUGAL, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
        for process in running:
            assert process.stdout is not None
            port = int(process.stdout.readline())
        yield Least(tuple(process.pid for process in running), port)
    finally:
        for process in running:
            process.communicate()


def main(name: str) -> None:
    """Import the modules, print a port, and wake up until standard input ends; the exporter answers requests."""
    with left_out():
        for module in NEEDED[name]:
            import_module(module)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        waiting = [sys.stdin, listener] if name == "exporter" else [sys.stdin]
        os.write(1, f"{listener.getsockname()[1]}\n".encode())
        while True:
            ready = select.select(waiting, [], [], PERIOD)[0]
            if listener in ready:
                _answer(listener)
            if sys.stdin in ready:
                return


def _answer(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.recv(4096)
        connection.sendall(PAGE)


if __name__ == "__main__":
    main(sys.argv[1])
