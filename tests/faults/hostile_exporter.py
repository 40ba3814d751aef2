# SPDX-License-Identifier: Apache-2.0
"""A clone of the exporter that an intruder has taken over: ``GET /attack/NAME?ARGUMENT`` makes it attack.

The clone has the real exporter's confinement, user, descriptors and channel. An attack answers with the errno of the
refused call, or with "done".
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

from probed.exporter import main as exporter
from probed.exporter.http_server.messages import Request, Response, text
from probed.exporter.pages.application import Application
from probed.ipc.exporter_messages import CannotServe, Pulse

F_SETOWN_EX: Final = 15
F_OWNER_PID: Final = 1
FIOASYNC: Final = 0x5452
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902
PR_SET_PDEATHSIG: Final = 1
PTRACE_ATTACH: Final = 16
SYSTEM_CALLS: Final = {"ptrace": 101, "process_vm_readv": 310, "pidfd_send_signal": 424, "rt_sigqueueinfo": 129}
GARBAGE: Final = 0xFFFF_FFFF_FFFF_FF00
LIBC: Final = ctypes.CDLL(None, use_errno=True)

Attack = Callable[[str], object]


class Intruder:
    """The attacks; each method is one, with an argument as text."""

    def __init__(self, running: exporter.Exporter) -> None:
        self._channel = running._channel
        self._collector = running._collector
        self._listener = next(iter(running._server._reactor._listeners.values()))

    def __call__(self, request: Request) -> Response:
        """Attack, and answer with the result."""
        attack: Attack = getattr(self, request.path.removeprefix("/attack/"))
        try:
            attack(request.query)
        except OSError as error:
            return text(200, errno.errorcode[error.errno or 0])
        return text(200, "done")

    # Signals.

    def owner(self, pid: str) -> None:
        """Make the kernel send SIGTERM to a process when a byte arrives."""
        left, right = self._pair()
        fcntl.fcntl(left, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(left, fcntl.F_SETOWN, int(pid))
        fcntl.fcntl(left, fcntl.F_SETFL, os.O_ASYNC)
        os.write(right, b"x")

    def owner_alone(self, pid: str) -> None:
        """Name a process for signals."""
        fcntl.fcntl(self._pair()[0], fcntl.F_SETOWN, int(pid))

    def owner_ex(self, pid: str) -> None:
        """Name a process for signals by F_SETOWN_EX."""
        fcntl.fcntl(self._pair()[0], F_SETOWN_EX, struct.pack("ii", F_OWNER_PID, int(pid)))

    def asynchronous(self, _: str) -> None:
        """Ask for signals by ioctl(2)."""
        fcntl.ioctl(self._listener, FIOASYNC, struct.pack("i", 1))

    def owner_by_ioctl(self, pid: str) -> None:
        """Name a process for signals by ioctl(2)."""
        fcntl.ioctl(self._listener, FIOSETOWN, struct.pack("i", int(pid)))

    def group_by_ioctl(self, pid: str) -> None:
        """Name a process group for signals by ioctl(2)."""
        fcntl.ioctl(self._listener, SIOCSPGRP, struct.pack("i", int(pid)))

    def terminal_group(self, pid: str) -> None:
        """Make a process group the terminal's foreground."""
        fcntl.ioctl(2, termios.TIOCSPGRP, struct.pack("i", int(pid)))

    def kill(self, pid: str) -> None:
        """Send SIGTERM."""
        os.kill(int(pid), signal.SIGTERM)

    def kill_by_pidfd(self, pid: str) -> None:
        """Send SIGTERM through a pidfd."""
        signal.pidfd_send_signal(os.pidfd_open(int(pid)), signal.SIGTERM)

    def queue(self, pid: str) -> None:
        """Send SIGTERM with a value."""
        _call("rt_sigqueueinfo", int(pid), signal.SIGTERM, ctypes.create_string_buffer(128))

    # Memory and programs.

    def trace(self, pid: str) -> None:
        """Attach as a debugger."""
        _call("ptrace", PTRACE_ATTACH, int(pid), 0, 0)

    def read_memory(self, pid: str) -> None:
        """Read another process's memory."""
        with Path(f"/proc/{pid}/mem").open("rb") as memory:
            memory.read(1)

    def execute(self, _: str) -> None:
        """Execute a program."""
        os.execv("/bin/true", ["true"])

    def write_file(self, _: str) -> None:
        """Create a file."""
        Path("/tmp/probed-intruder").write_text("x")

    def executable_memory(self, _: str) -> None:
        """Map memory that can be executed."""
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)

    # Connections.

    def fast_open(self, port: str) -> None:
        """Connect from the listening socket."""
        self._listener.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", int(port)))

    def fast_open_by_sendmsg(self, port: str) -> None:
        """Connect from the listening socket."""
        self._listener.sendmsg([b"x"], [], socket.MSG_FASTOPEN, ("127.0.0.1", int(port)))

    def connect(self, port: str) -> None:
        """Connect the listening socket."""
        self._listener.connect(("127.0.0.1", int(port)))

    def open_socket(self, _: str) -> None:
        """Open a socket."""
        socket.socket().close()

    def stop_listening(self, _: str) -> None:
        """Stop the listening socket, which the next exporter gets too."""
        self._listener.shutdown(socket.SHUT_RDWR)

    def shorten_queue(self, _: str) -> None:
        """Leave the listening socket without a queue, which the next exporter gets too."""
        self._listener.listen(0)

    def linger(self, _: str) -> None:
        """Make the supervisor's close of this socket block."""
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))

    # The channel.

    def descriptors(self, _: str) -> None:
        """Send descriptors to the supervisor."""
        with socket.socket(fileno=os.dup(self._channel.fileno())) as end:
            socket.send_fds(end, [b"{}"], [self._listener.fileno()])

    def nested(self, _: str) -> None:
        """Send lists in lists."""
        self._say(b"[" * 30_000)

    def failed(self, _: str) -> None:
        """Say, after having served, that the exporter cannot serve."""
        self._channel.send(CannotServe("the intruder says so"))

    def flood(self, _: str) -> None:
        """Send signs of life without end."""
        while True:
            self._channel.send(Pulse(True, 1, 0))

    def large_number(self, _: str) -> None:
        """Send a number of 4,000 digits."""
        self._channel.send(Pulse(True, 10**4000, 0))

    def talk_on(self, _: str) -> None:
        """From now on, answer Stop with signs of life and never end."""
        HostileExporter.talks_on = True

    # What the next exporter takes over.

    def spoil_state(self, word: str) -> None:
        """Write one number all over the memory of every probe's counts, behind the identity."""
        for probe in self._collector._probes.values():
            ledger = probe._ledger
            size = min(os.fstat(ledger._fd).st_size, 1 << 20)
            os.pwrite(ledger._fd, struct.pack("<Q", int(word)) * (size // 8 - 12), 12 * 8)
        os._exit(1)

    def enlarge_state(self, _: str) -> None:
        """Fill memory behind the counts."""
        for probe in self._collector._probes.values():
            os.pwrite(probe._ledger._fd, b"x", 1 << 40)
        os._exit(1)

    def spoil_consumer(self, offset: str) -> None:
        """Write a position so far from the producer's to the consumer page of every ring."""
        for probe in self._collector._probes.values():
            if probe._ring is not None:
                probe._ring._consumer[0] = (int(probe._ring._producer[0]) + int(offset)) % (1 << 64)
        os._exit(1)

    def _pair(self) -> tuple[int, int]:
        return os.pipe2(os.O_CLOEXEC)

    def _say(self, body: bytes) -> None:
        os.write(self._channel.fileno(), body)


def _call(name: str, *arguments: Any) -> None:
    if LIBC.syscall(SYSTEM_CALLS[name], *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


class HostileApplication(Application):
    """The pages; ``/attack/…`` belongs to the intruder."""

    intruder: ClassVar[Intruder]

    def __call__(self, request: Request) -> Response:
        """Respond to one request."""
        if request.path.startswith("/attack/"):
            return self.intruder(request)
        return super().__call__(request)


class HostileExporter(exporter.Exporter):
    """The exporter; after Stop the intruder may talk on."""

    talks_on: ClassVar[bool] = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        HostileApplication.intruder = Intruder(self)

    def serve(self) -> str:
        """Serve; then send signs of life for ever, if the intruder wants it."""
        said = super().serve()
        while self.talks_on:
            self._channel.send(Pulse(True, 1, 0))
        return said


if __name__ == "__main__":
    exporter.Exporter = HostileExporter  # type: ignore[assignment,misc]
    exporter.Application = HostileApplication  # type: ignore[attr-defined]
    sys.exit(exporter.main(int(sys.argv[1])))
