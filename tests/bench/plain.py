# SPDX-License-Identifier: Apache-2.0
"""The same work with BCC's callback for each event and prometheus_client's labelled counter.

`rate` and `scraping` start ``python -m bench.plain`` as a process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from bench import compiled
from bench.setup import HERE
from probed.ipc.loader_messages import Text
from support.running_daemon import environment

RING_BYTES: Final = 4 << 20


class Event(ctypes.Structure):
    """struct event of tests/bench/probes/storm: BCC knows the struct only for rings filled by copying."""

    _fields_ = (
        ("cgroup", ctypes.c_uint64),
        ("comm", ctypes.c_char * 16),
        ("set", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """Counted events, and the CPU time of the process's whole life."""

    events: int
    cpu_seconds: float


class Counting:
    """The process that counts with BCC and prometheus_client."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def stop(self) -> Taken:
        """Have the process take the waiting events and end."""
        said, _ = self._process.communicate(b"stop\n")
        events, seconds = said.split()
        return Taken(int(events), float(seconds))


@contextmanager
def running() -> Iterator[Counting]:
    """Run the process; its program is attached."""
    command = [sys.executable, "-m", "bench.plain"]
    with subprocess.Popen(
        command, env=environment(), cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise ChildProcessError(f"{' '.join(command)}: ended before its program was attached")
        yield Counting(process)


def main() -> None:
    """Count until standard input is readable; then print the number of events and the CPU time."""
    source = HERE / "probes" / "storm" / "storm.bpf.c"
    table = compiled.attach(Text(str(source), source.read_text()), {"on_enter": "sys_enter"}, RING_BYTES).table(
        "events"
    )
    counter = Counter("storm_events", "Calls.", ["cgroup", "comm", "set"], registry=CollectorRegistry())
    pointer, seen = ctypes.POINTER(Event), 0

    def count(_: object, data: int, __: object) -> None:
        nonlocal seen
        event = ctypes.cast(data, pointer).contents
        counter.labels(event.cgroup, event.comm.decode(), event.set).inc()
        seen += 1

    table.open_ring_buffer(count)
    os.write(1, b"attached\n")
    os.set_blocking(0, False)
    while not sys.stdin.buffer.read():
        table.bpf.ring_buffer_poll(100)
    table.bpf.ring_buffer_consume()
    os.write(1, f"{seen} {time.process_time()}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
