# SPDX-License-Identifier: Apache-2.0
"""The exporter as the supervisor sees it: started, told things, restarted with back-off when it dies.

`daemon` waits for its fds and calls in; what it knows is sent again in full to every new exporter.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from probed.errors import DeclarationError, HostError
from probed.ipc.channel import Closed, Packet, Starved
from probed.ipc.child_process import Child, why_not
from probed.ipc.exporter_messages import (
    FROM_EXPORTER,
    AddProbe,
    CannotServe,
    FromExporter,
    NewWebSettings,
    Pulse,
    ReloadEnded,
    RemoveProbe,
    RequestReload,
    Serve,
    Start,
    Status,
    Stop,
    Stopped,
    ToExporter,
)
from probed.ipc.loader_process import Held
from probed.supervisor.hooks import Hooks

LOG = logging.getLogger("supervisor")

FIRST_BACKOFF = 0.1
LAST_BACKOFF = 30.0
STEADY = 60.0
"""An exporter that lived so long starts the back-off anew."""
STOP_TIMEOUT = 10.0
NEWBORN = 30.0
"""How long it may take until its first sign of life: it imports numpy, perhaps on an emulated machine."""
TELL_TIMEOUT = 5.0
"""An exporter that takes no message for so long is stuck."""

FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "OPENBLAS_NUM_THREADS": "1",
}
"""One heap for its few threads, and none of numpy's threads for linear algebra: 6 MB less after a storm."""

EXPORTER_FDS = ("ring", "stats", "map:", "recent:", "hash:", "state")


class Exporting:
    """The exporter process, or the wait for the next one."""

    def __init__(
        self,
        start: Start,
        listeners: Sequence[socket.socket],
        patience: float,
        hooks: Hooks,
        reload: Callable[[], None],
    ) -> None:
        """`patience` is how many seconds it may show no sign of life before it is taken to be stuck.

        `reload` is called when it asks for that.
        """
        self._start = start
        self._reload = reload
        self.web_fd = -1
        self._listeners = listeners
        self._patience = patience
        self._hooks = hooks
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._backoff = FIRST_BACKOFF
        self._born = 0.0
        self.child: Child[ToExporter, FromExporter] | None = None
        self.restart_at: float | None = None
        self.stuck_at: float | None = None
        self.restarts = 0

    def launch(self, held: Sequence[Held], status: Status | None) -> None:
        """Start an exporter and tell it everything; where that cannot be, later."""
        self.restart_at = None
        try:
            self._launch(held, status)
        except OSError as error:
            if self.child is not None:
                self.child.kill()
                self.child.reap(STOP_TIMEOUT)
            self._postpone(f"no exporter can be started: {why_not(error)}")

    def _launch(self, held: Sequence[Held], status: Status | None) -> None:
        self.child = Child("probed.exporter", FROM_EXPORTER, FRUGAL)
        self.child.channel.set_timeout(TELL_TIMEOUT)
        self._born = time.monotonic()
        self.stuck_at = self._born + max(NEWBORN, self._patience)
        web = [self.web_fd] if self._start.web.config_file else []
        fds = [self._statm, *web, *(listener.fileno() for listener in self._listeners)]
        self._tell(self._start, fds)
        for each in held:
            self.add(each)
        if status is not None:
            self.tell_status(status)
        self._tell(Serve())

    def _tell(self, message: ToExporter, fds: Sequence[int] = ()) -> None:
        if self.child is None:
            return
        try:
            self.child.channel.send(message, fds)
        except (Closed, TimeoutError):
            self.child.kill()  # `died` will be called, and the next one is told everything

    def add(self, held: Held) -> None:
        """Give it a probe's ring, maps and counters, and what /proc tells of its programs: never these themselves.

        Raises OSError before it has been given anything.
        """
        fds = {name: held.fds[name] for name in held.loaded.fd_names if name.startswith(EXPORTER_FDS)}
        programs = {f"fdinfo:{place.program}": held.fds[f"program:{place.program}"] for place in held.loaded.places}
        programs |= {f"hook:{tracepoint}": program for tracepoint, program in self._hooks.programs(held).items()}
        with ExitStack() as stack:
            for name, program in programs.items():
                fds[name] = stack.enter_context(open(f"/proc/self/fdinfo/{program}", "rb")).fileno()
            self._tell(AddProbe(replace(held.loaded, fd_names=tuple(fds))), list(fds.values()))

    def remove(self, name: str) -> None:
        """Tell it to drop a probe."""
        self._tell(RemoveProbe(name))

    def tell_status(self, status: Status) -> None:
        """Tell it how things stand."""
        self._tell(status)

    def tell_web(self, fd: int) -> None:
        """Give it a newer web configuration, and every one that is started later."""
        self.web_fd = fd
        self._tell(NewWebSettings(), [fd])

    def tell_reloaded(self, fault: str) -> None:
        """Tell it how the reload that it asked for ended: with a fault, or "" without one."""
        self._tell(ReloadEnded(fault))

    def heard(self) -> Pulse | None:
        """Take one message from it, and return it if it is a sign of life. Raises HostError when it cannot serve."""
        assert self.child is not None
        try:
            pulse = self._understood(self.child.channel.receive())
        except Closed:
            self.child.kill()  # without the channel it is of no use
            return None
        except (Starved, ValueError, DeclarationError) as error:
            LOG.error("the exporter does not speak as it should (%s): ending it", error)
            self.child.kill()
            return None
        if pulse is not None:
            self.stuck_at = time.monotonic() + self._patience
        return pulse

    def _understood(self, packet: Packet[FromExporter]) -> Pulse | None:
        for fd in packet.fds:  # no message of the exporter has any
            os.close(fd)
        match packet.message:
            case Pulse() as pulse:
                return pulse
            case CannotServe(text):
                raise HostError(text)
            case RequestReload() if self._start.web.enable_lifecycle:
                LOG.info("reload asked for by HTTP")
                self._reload()
                return None
            case other:
                raise ValueError(f"a message of kind '{type(other).__name__}'")

    def end_stuck(self) -> None:
        """End one that does not move, so that another can take its place."""
        assert self.child is not None
        self.stuck_at = None
        LOG.error("the exporter has shown no sign of life for %g s: ending it", self._patience)
        self.child.kill()

    def died(self) -> None:
        """Reap it and set the time of the next one."""
        assert self.child is not None
        how = self.child.reap(0) or "ended unasked"
        if time.monotonic() - self._born > STEADY:
            self._backoff = FIRST_BACKOFF
        self.restarts += 1
        self._postpone(f"the exporter {how}")

    def _postpone(self, why: str) -> None:
        self.child, self.stuck_at = None, None
        self.restart_at = time.monotonic() + self._backoff
        LOG.error("%s; starting it again in %g s: its rings keep what happens meanwhile", why, self._backoff)
        self._backoff = min(2 * self._backoff, LAST_BACKOFF)

    def stop(self) -> str:
        """Let it drain once more and end; return how that went wrong, "" if it did not."""
        self.restart_at = None
        if self.child is None:
            return ""
        self._tell(Stop())
        deadline = time.monotonic() + STOP_TIMEOUT
        self._wait_for_last_words(deadline)
        how = self.child.reap(max(0.0, deadline - time.monotonic()))
        self.child = None
        return how

    def _wait_for_last_words(self, deadline: float) -> None:
        assert self.child is not None
        end = self.child.channel
        end.set_timeout(max(0.1, deadline - time.monotonic()))
        with suppress(Closed, TimeoutError):
            while True:
                message = end.receive().message
                if isinstance(message, Stopped):
                    LOG.info("stopped: %s", message.totals)
