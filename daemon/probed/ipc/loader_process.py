# SPDX-License-Identifier: Apache-2.0
"""Runs a loader, event by event, with a time limit for each probe.

The supervisor's loop waits for `fileno` and calls `step`; `probed check` calls `load_all`.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from probed.errors import HostError, LoadError, Reason
from probed.frozen import frozen
from probed.ipc import loader_output
from probed.ipc.channel import Closed, Packet, Starved
from probed.ipc.child_process import Child
from probed.ipc.loader_messages import (
    FROM_LOADER,
    AllWanted,
    BccVersion,
    EndOfRequests,
    Failure,
    Files,
    FromLoader,
    Goal,
    HookArray,
    HookAttached,
    HostFailure,
    LoadBegun,
    LoadRequest,
    ProbeLoaded,
    ReadWebConfig,
    Refused,
    RunningVersion,
    Settings,
    ToLoader,
    Wanted,
    WebConfigRead,
)
from probed.ipc.manifest import MAP_KINDS, FdName, LoadedProbe
from probed.linux.fdinfo import identity
from probed.linux.os_errors import why_not
from probed.webconfig.settings import WebSummary

LOG = logging.getLogger("loader")

SECONDS_A_PROBE = 60.0
"""A compile takes 0.3 s here, and 10 to 40 s in an emulated machine beside other work."""

REAP_SECONDS = 5.0


@frozen
class ProbeHandle:
    """A loaded probe and the fds by name, which this process owns."""

    loaded: LoadedProbe
    fds: dict[FdName, int]

    def shares_maps(self, other: ProbeHandle) -> bool:
        """Say whether both are versions of one probe with the same maps in the kernel."""
        stats = FdName("stats")
        return identity(self.fds[stats]) == identity(other.fds[stats])

    def close(self) -> None:
        """Close the fds: without copies elsewhere the kernel removes the probe."""
        for fd in self.fds.values():
            os.close(fd)


@frozen
class HookHandle:
    """A program at an attach point, and the array of programs to jump into; this process owns the fds.

    There is one link; at a perf event, one for each CPU.
    """

    attach_point: str
    array: int
    links: tuple[int, ...]
    program: int

    def close(self) -> None:
        """Detach the hook, and with the hook all programs behind."""
        for fd in (*self.links, self.array, self.program):
            os.close(fd)


@frozen
class SiteRead:
    """Content of the site configuration and of the declarations."""

    settings: Settings
    wanted: dict[str, Wanted]


@frozen
class WebRead:
    """Summary of the web configuration; `fd` is the caller's: the WebSettings in sealed memory."""

    summary: WebSummary
    fd: int


@frozen
class Result:
    """Outcome for one probe."""

    name: str
    outcome: ProbeHandle | LoadError


Event = SiteRead | WebRead | Refused | Result | HookHandle


@dataclass(slots=True)
class _Work:
    """Remaining work; after a loader's death a new loader goes on."""

    reading: Files | ReadWebConfig | None = None
    requests: list[LoadRequest] = field(default_factory=list)
    goal: Goal = "attach"
    hooked: dict[str, int] = field(default_factory=dict)
    running: dict[str, ProbeHandle] = field(default_factory=dict)


class LoaderProcess:
    """A loader: `read` files, `load` probes, or both in this order, until `done`."""

    def __init__(self) -> None:
        """Start a loader. Raises HostError when no process starts."""
        self.bcc_version = ""
        self.done = False
        self._work = _Work()
        self._start()

    def _start(self) -> None:
        try:
            self._output = loader_output.create()
            try:
                self._child: Child[ToLoader, FromLoader] = Child("probed.loader", FROM_LOADER, stderr=self._output)
            except OSError:
                os.close(self._output)
                raise
        except OSError as error:
            self.done = True
            raise HostError(f"no loader can be started: {why_not(error)}") from error
        self._trying = ""
        self._settings: Settings | None = None
        self._wanted: dict[str, Wanted] = {}
        self._wind()

    def _wind(self) -> None:
        self.deadline = time.monotonic() + SECONDS_A_PROBE

    def fileno(self) -> int:
        """Return the descriptor that turns readable when `step` has an answer."""
        return self._child.channel.fileno()

    def read(self, files: Files | ReadWebConfig) -> None:
        """Let the loader read files; the event will be SiteRead, WebRead or Refused. Call `load` after SiteRead."""
        self._work.reading = files
        self._tell(files)

    def load(
        self,
        requests: Sequence[LoadRequest],
        goal: Goal,
        hooked: Mapping[str, int],
        running: Mapping[str, ProbeHandle] = MappingProxyType({}),
    ) -> None:
        """Let the loader load probes: events are a Result per probe, and a HookHandle per missing hook before.

        `hooked` has the arrays behind the attached hooks by attach point, `running` the probes that keep maps and
        slots. Without a request the loader is done.
        """
        self._work.requests, self._work.goal = list(requests), goal
        self._work.hooked, self._work.running = dict(hooked), dict(running)
        for attach_point, array in hooked.items():
            self._tell(HookArray(attach_point), [array])
        for handle in running.values():
            maps = tuple(name for name in handle.loaded.fd_names if name.kind in MAP_KINDS)
            loaded = replace(handle.loaded, fd_names=maps)
            self._tell(RunningVersion(loaded), [handle.fds[name] for name in maps])
        for request in requests:
            self._tell(request)
        self._tell(EndOfRequests(goal))
        self._wind()
        if not requests:
            self._finish()

    def _tell(self, message: ToLoader, fds: Sequence[int] = ()) -> None:
        try:
            self._child.channel.send(message, fds)
        except Closed:
            pass  # the loader died: `step` will read the end
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            self._child.kill()  # `step` will read the end

    def step(self) -> Event | None:
        """Take one answer; return the event, or None for an answer without one.

        Raises HostError, and is done, when the machine can load no probe at all.
        """
        if time.monotonic() >= self.deadline:
            self._child.kill()
            return self._died("timeout", f"loading took longer than {SECONDS_A_PROBE:g} s")
        try:
            packet = self._child.channel.receive()
        except Closed:
            return self._died("internal", "the loader ended while it worked on this probe")
        except Starved:
            self._child.kill()
            return self._died("internal", "there is no room for its descriptors: too many open files; see LimitNOFILE=")
        return self._answered(packet)

    def _answered(self, packet: Packet[FromLoader]) -> Event | None:
        match packet.message:
            case BccVersion(version):
                self.bcc_version = version
            case LoadBegun(name):
                self._trying = name
                self._wind()
            case HostFailure(reason, text):
                self._finish()
                raise HostError(text, reason)
            case HookAttached(attach_point):
                array, program, *links = packet.fds
                self._work.hooked[attach_point] = array
                return HookHandle(attach_point, array, tuple(links), program)
            case ProbeLoaded(loaded):
                return self._result(loaded.name, _held(loaded, packet.fds, self._work.running.get(loaded.name)))
            case Failure(name, reason, text, errno):
                return self._result(name, LoadError(name, reason, text, errno))
            case other:
                return self._answered_read(other, packet.fds)
        return None

    def _answered_read(
        self, message: Settings | Wanted | AllWanted | WebConfigRead | Refused, fds: tuple[int, ...]
    ) -> Event | None:
        match message:
            case Settings() as settings:
                self._settings = settings
            case Wanted() as wanted:
                self._wanted[wanted.request.name] = wanted
            case AllWanted() if self._settings is not None:
                self._work.reading = None
                return SiteRead(self._settings, self._wanted)
            case WebConfigRead(summary):
                self._finish()
                (fd,) = fds
                return WebRead(summary, fd)
            case Refused() as refused:
                self._finish()
                return refused
            case other:
                raise ValueError(f"the loader sent a message of kind '{type(other).__name__}'")
        return None

    def _result(self, name: str, outcome: ProbeHandle | LoadError) -> Result:
        self._work.requests = [request for request in self._work.requests if request.name != name]
        if not self._work.requests:
            self._finish()
        return Result(name, outcome)

    def _died(self, reason: Reason, text: str) -> Event:
        """Fail the probe that the loader worked on, and load the others with a new loader."""
        how = self._child.reap(REAP_SECONDS)
        cause, output = loader_output.crash(loader_output.take(self._output))
        reason = cause if reason == "internal" else reason
        text = (f"{text} (it {how})" if how else text) + output
        if self._work.reading is not None or not self._work.requests:
            self.done = True
            why = text if reason == "timeout" else (how or "with status 0") + output
            place = f"{self._work.reading.path}: " if isinstance(self._work.reading, ReadWebConfig) else ""
            return Refused(f"{place}the loader ended before it had read the files: {why}")
        name = self._trying or self._work.requests[0].name
        rest = [request for request in self._work.requests if request.name != name]
        if rest:
            self._start()
            self.load(rest, self._work.goal, self._work.hooked, self._work.running)
        else:
            self.done = True
        return Result(name, LoadError(name, reason, text))

    def _finish(self) -> None:
        """Wait for the loader's end, and log the rest of its standard error."""
        self.done = True
        self._child.reap(REAP_SECONDS)
        if output := loader_output.take(self._output):
            LOG.warning("%s", output.rstrip())

    def abort(self) -> None:
        """Kill the loader."""
        if not self.done:
            self._child.kill()
            self._finish()


def _held(loaded: LoadedProbe, received: Sequence[int], running: ProbeHandle | None = None) -> ProbeHandle | LoadError:
    """Return the handle of a probe, with a start time and memory for the exporter's counts.

    Both are those of the `running` version with the same maps.
    """
    fds = dict(zip(loaded.fd_names, received, strict=False))
    if not fds:  # the goal was not to attach
        return ProbeHandle(loaded, fds)
    handle = ProbeHandle(loaded, fds)
    kept = running if running is not None and handle.shares_maps(running) else None
    try:
        state = os.dup(kept.fds[FdName("state")]) if kept else os.memfd_create("probed-state")
    except OSError as error:
        handle.close()
        text = f"there can be no memory for what it counts: {why_not(error)}"
        return LoadError(loaded.name, "internal", text, error.errno or 0)
    start_time = kept.loaded.start_time if kept else time.time()
    counting = replace(loaded, fd_names=(*loaded.fd_names, FdName("state")), start_time=start_time)
    return ProbeHandle(counting, fds | {FdName("state"): state})


def wait(loading: LoaderProcess) -> Event | None:
    """Wait for one answer of the loader, and take it. Raises HostError."""
    select.select([loading], [], [], max(0.0, loading.deadline - time.monotonic()))
    return loading.step()


def load_all(requests: Sequence[LoadRequest], goal: Goal) -> dict[str, ProbeHandle | LoadError]:
    """Load all requests and wait for every result. Raises HostError."""
    results: dict[str, ProbeHandle | LoadError] = {}
    loading = LoaderProcess()
    loading.load(requests, goal, {})
    while not loading.done:
        event = wait(loading)
        if isinstance(event, Result):
            results[event.name] = event.outcome
    return results
