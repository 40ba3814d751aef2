# SPDX-License-Identifier: Apache-2.0
"""Starts the exporter, sends messages to the exporter, and starts a new one with back-off after a death.

The supervisor's loop waits for the exporter's fds. A new exporter gets all probes and the status again.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from probed.errors import DeclarationError, HostError
from probed.ipc.channel import Closed, Packet, Starved, close_all
from probed.ipc.evidence_messages import EvidenceReport, WantEvidence, is_plausible
from probed.ipc.exporter_messages import (
    AddProbe,
    CannotServe,
    Confined,
    FromExporter,
    NameContainers,
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
from probed.ipc.first_children import ExporterChild, start_exporter
from probed.ipc.loader_process import ProbeHandle
from probed.ipc.manifest import MAP_KINDS, FdName
from probed.ipc.message import bounded
from probed.linux.os_errors import why_not
from probed.supervisor.exporter_limits import MOST_BYTES, ExporterLimits
from probed.supervisor.hooks import Hooks

LOG = logging.getLogger("supervisor")

FIRST_BACKOFF = 0.1
LAST_BACKOFF = 30.0
STEADY = 60.0
"""Seconds of life after which an exporter resets the back-off."""
STOP_TIMEOUT = 10.0
NEWBORN = 30.0
"""Seconds until the first sign of life: the exporter imports numpy, perhaps on an emulated machine."""
MOST_NUMBER = 1 << 62
"""Bound of the numbers in a Pulse: JSON takes thousands of digits."""

MAX_LOGGED = 1000
"""Most characters of a text from the exporter in the log."""

EXPORTER_FDS = MAP_KINDS | {"state", "iterator"}
"""Kinds of a probe's fds that the exporter gets."""


class ExporterProcess:
    """The exporter process, or the wait for the next one."""

    def __init__(
        self,
        start: Start,
        listeners: Sequence[socket.socket],
        patience: float,
        hooks: Hooks,
        reload: Callable[[], None],
    ) -> None:
        """`patience` is the time in seconds without a sign of life after which an exporter is stuck.

        A RequestReload calls `reload`.
        """
        self._start = start
        self._reload = reload
        self.web_fd = -1
        self.waiting: ExporterChild | None = None
        """An exporter that waits for its first message: `launch` starts no other."""
        self.known_containers: Callable[[], Sequence[NameContainers]] = tuple
        self.on_wanted_evidence: Callable[[WantEvidence], None] | None = None
        self.known_evidence: Callable[[], EvidenceReport] | None = None
        self._listeners = listeners
        self._patience = patience
        self._hooks = hooks
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._backoff = FIRST_BACKOFF
        self._born = 0.0
        self._is_confined = False
        self.is_heard = True
        """Whether to take further messages: none follows an invalid one."""
        self._limits = ExporterLimits()
        self.child: ExporterChild | None = None
        self.restart_at: float | None = None
        self.stuck_at: float | None = None
        self.restarts = 0

    def launch(self, handles: Sequence[ProbeHandle], status: Status | None) -> None:
        """Start an exporter with these probes; if no process starts, try again after the back-off."""
        self.restart_at = None
        try:
            self._launch(handles, status)
        except OSError as error:
            if self.child is not None:
                self.child.kill()
                self.child.reap(STOP_TIMEOUT)
            self._postpone(f"no exporter can be started: {why_not(error)}")

    def _launch(self, handles: Sequence[ProbeHandle], status: Status | None) -> None:
        self.child, self.waiting = self.waiting or start_exporter(), None
        self.child.channel.most_bytes = MOST_BYTES
        self._limits = ExporterLimits()
        self._born = time.monotonic()
        self._is_confined, self.is_heard = False, True
        self.stuck_at = self._born + max(NEWBORN, self._patience)
        web = [self.web_fd] if self._start.web.config_file else []
        fds = [self._statm, *web, *(listener.fileno() for listener in self._listeners)]
        self._tell(self._start, fds)
        for names in self.known_containers():
            self._tell(names)
        if self.known_evidence is not None:
            self._tell(self.known_evidence())
        for each in handles:
            self.add(each)
        if status is not None:
            self.tell_status(status)
        self._tell(Serve())

    def _tell(self, message: ToExporter, fds: Sequence[int] = ()) -> None:
        if self.child is None:
            return
        begin = time.monotonic()
        self.child.channel.set_timeout(self._limits.seconds_left())
        try:
            self.child.channel.send(message, fds)
        except (Closed, TimeoutError):
            self.child.kill()  # `died` follows, and the next exporter gets all probes
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            self.child.kill()  # fds that the exporter sent and nobody took count against this process's limit
        finally:
            self._limits.count_wait(time.monotonic() - begin)

    def add(self, handle: ProbeHandle) -> None:
        """Send a probe with ring, maps, iterators and counters, and the files of /proc for its programs, never those.

        Raises OSError before anything is sent.
        """
        fds = {name: handle.fds[name] for name in handle.loaded.fd_names if name.kind in EXPORTER_FDS}
        programs = {FdName("fdinfo", name): handle.fds[FdName("program", name)] for name in handle.loaded.attach_points}
        programs |= {FdName("hook", name): program for name, program in self._hooks.programs(handle).items()}
        with ExitStack() as stack:
            for name, program in programs.items():
                fds[name] = stack.enter_context(open(f"/proc/self/fdinfo/{program}", "rb")).fileno()
            self._tell(AddProbe(replace(handle.loaded, fd_names=tuple(fds))), list(fds.values()))

    def remove(self, name: str) -> None:
        """Make the exporter drop a probe."""
        self._tell(RemoveProbe(name))

    def tell_status(self, status: Status) -> None:
        """Send the status of the daemon."""
        self._tell(status)

    def tell_web(self, fd: int) -> None:
        """Send newer web settings, also to each later exporter."""
        self.web_fd = fd
        self._tell(NewWebSettings(), [fd])

    def name_containers(self, message: NameContainers) -> None:
        """Send names of containers; a later exporter gets those of `known_containers`."""
        self._tell(message)

    def tell_evidence(self, report: EvidenceReport) -> None:
        """Send the sums of evidence; a later exporter gets those of `known_evidence`."""
        self._tell(report)

    def tell_reloaded(self, fault: str) -> None:
        """Answer RequestReload: with the fault, or "" without one."""
        self._tell(ReloadEnded(bounded(fault)))

    def heard(self) -> Pulse | None:
        """Take one message; return a sign of life. Raises HostError when the exporter cannot serve."""
        assert self.child is not None
        try:
            self._limits.count_message()
            pulse = self._understood(self.child.channel.receive())
        except Closed:
            self.child.kill()  # an exporter without the channel is useless
            return None
        except (Starved, ValueError, DeclarationError) as error:
            LOG.error("the exporter sent no valid message (%s): killing it", bounded(str(error), MAX_LOGGED))
            self.child.kill()
            self.is_heard = False
            return None
        if pulse is not None:
            self.stuck_at = time.monotonic() + self._patience
        return pulse

    def _understood(self, packet: Packet[FromExporter]) -> Pulse | None:
        if packet.fds:
            close_all(packet.fds)
            raise ValueError("a message with descriptors")
        match packet.message:
            case Pulse(_, series, lost, left_out) as pulse:
                if max(map(abs, (series, lost, left_out))) >= MOST_NUMBER:
                    raise ValueError("a number out of range")
                return pulse
            case Confined():
                self._is_confined = True
                return None
            case CannotServe(text) if not self._is_confined:
                self._let_end()
                raise HostError(bounded(text, MAX_LOGGED))
            case RequestReload() if self._start.web.enable_lifecycle:
                LOG.info("reload requested by HTTP")
                self._reload()
                return None
            case WantEvidence() as wanted if self.on_wanted_evidence is not None and is_plausible(wanted):
                self.on_wanted_evidence(wanted)
                return None
            case other:
                raise ValueError(f"a message of kind '{type(other).__name__}'")

    def _let_end(self) -> None:
        """Reap an exporter that ends by itself and has told the cause: `stop` has no more to say."""
        assert self.child is not None
        self.child.reap(STOP_TIMEOUT)
        self.child = None

    def end_stuck(self) -> None:
        """Kill a stuck exporter, so that another takes its place."""
        assert self.child is not None
        self.stuck_at = None
        LOG.error("the exporter has shown no sign of life for %g s: killing it", self._patience)
        self.child.kill()

    def died(self) -> None:
        """Reap the exporter, and set the time of the next start."""
        assert self.child is not None
        how = self.child.reap(0) or "ended unasked"
        if time.monotonic() - self._born > STEADY:
            self._backoff = FIRST_BACKOFF
        self.restarts += 1
        self._postpone(f"the exporter {how}")

    def _postpone(self, why: str) -> None:
        self.child, self.stuck_at = None, None
        self.restart_at = time.monotonic() + self._backoff
        LOG.error("%s; starting a new one in %g s; the rings keep the events until then", why, self._backoff)
        self._backoff = min(2 * self._backoff, LAST_BACKOFF)

    def stop(self) -> str:
        """Let the exporter drain once more and exit; return the fault, or ""."""
        self.restart_at = None
        if self.child is None:
            return ""
        deadline = time.monotonic() + STOP_TIMEOUT
        self._tell(Stop())
        self._wait_for_last_words(deadline)
        how = self.child.reap(max(0.0, deadline - time.monotonic()))
        self.child = None
        return how

    def _wait_for_last_words(self, deadline: float) -> None:
        assert self.child is not None
        end = self.child.channel
        try:
            while (left := deadline - time.monotonic()) > 0:
                end.set_timeout(left)
                packet = end.receive()
                close_all(packet.fds)
                if isinstance(packet.message, Stopped):
                    LOG.info("stopped: %s", bounded(packet.message.totals, MAX_LOGGED))
                    return
        except (Closed, TimeoutError):
            return
        except (Starved, ValueError, DeclarationError) as error:
            LOG.error("the exporter sent no valid message (%s): killing it", bounded(str(error), MAX_LOGGED))
            self.child.kill()
