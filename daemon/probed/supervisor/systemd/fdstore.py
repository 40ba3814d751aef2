# SPDX-License-Identifier: Apache-2.0
"""Keeps the fds of running probes, hooks and sockets in systemd's fd store over a restart.

So programs stay attached and rings keep events, however the supervisor ends. A probe goes into the store in one
message, so the store has all of its fds or none, with a sealed memfd that describes the probe. The supervisor takes a
probe back only if kernel ids and description match exactly. Source: sd_pid_notify_with_fds(3), FDSTORE=1.
"""

from __future__ import annotations

import json
import logging
import os
import select
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, Protocol

from probed.errors import DeclarationError
from probed.frozen import frozen
from probed.ipc import manifest
from probed.ipc.loader_process import HookHandle, ProbeHandle
from probed.ipc.manifest import LoadedProbe
from probed.linux import memfd
from probed.linux.fdinfo import BPF_IDS, identity
from probed.schema import structure

LOG = logging.getLogger("supervisor")

LISTENER: Final = "listener"
BARRIER_SECONDS = 5.0
_PROBE: Final = "probe."
_HOOK: Final = "hook."
_START: Final = "start"
_MEMFD: Final = "probed-manifest"


class Send(Protocol):
    """Sends to systemd: `systemd.daemon.notify`, or a stand-in of a test."""

    def __call__(self, status: str, *, fds: Sequence[int] = ...) -> object:
        """Send assignments, one per line, with fds. Raises OSError."""


@frozen
class StoredProbe:
    """Description beside a probe's fds; `identities` follow the order of `loaded.fd_names`."""

    version: int
    bcc_version: str
    loaded: LoadedProbe
    identities: tuple[str, ...]


class _UnusableError(Exception):
    """Fds from the store cannot be taken over; the text has the cause."""


class Store:
    """The fd store of this service. Without systemd every method does nothing but close fds."""

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self.bcc_version = ""

    @property
    def keeps(self) -> bool:
        """Whether there is a store."""
        return self._send is not None

    def keep(self, handle: ProbeHandle, bcc_version: str) -> None:
        """Store a probe's fds, in one message."""
        if self._send is None:
            return
        try:
            self._keep(handle, bcc_version)
        except OSError as error:
            LOG.warning("probe '%s' cannot survive a restart: systemd's fd store: %s", handle.loaded.name, error)

    def _keep(self, handle: ProbeHandle, bcc_version: str) -> None:
        fds = [handle.fds[name] for name in handle.loaded.fd_names]
        rest = StoredProbe(manifest.VERSION, bcc_version, handle.loaded, tuple(map(identity, fds)))
        sheet = memfd.sealed(_MEMFD, json.dumps(structure.to_data(rest)).encode())
        try:
            self._store(_name(handle), [*fds, sheet])
        finally:
            os.close(sheet)

    def forget(self, handle: ProbeHandle) -> None:
        """Remove a probe's fds from the store."""
        if self._send is not None:
            self._remove(_name(handle))

    def let_go(self, handle: ProbeHandle) -> None:
        """Remove a probe's fds from the store, and close this process's: so the kernel detaches the probe."""
        self.forget(handle)
        handle.close()

    def keep_hook(self, hook: HookHandle) -> None:
        """Store a hook: links, array and program."""
        self._store(_HOOK + hook.attach_point, [*hook.links, hook.array, hook.program])

    def forget_hook(self, hook: HookHandle) -> None:
        """Remove a hook."""
        self._remove(_HOOK + hook.attach_point)

    def keep_listeners(self, fds: Sequence[int]) -> None:
        """Store the listening sockets: clients wait in their queues while no process accepts."""
        self._store(LISTENER, fds)

    def forget_listeners(self) -> None:
        """Remove the listening sockets; return when systemd has done so, since others may want the addresses."""
        self._remove(LISTENER)
        self._wait()

    def take_over_start(self, passed: Mapping[int, str]) -> float:
        """Return and store the start time of the daemon's counters, in seconds since the epoch.

        This is the start of the first supervisor of which systemd still keeps the counters, else now.
        """
        kept = [start for fd, name in passed.items() if name == _START and (start := _read_start(fd)) is not None]
        _close(fd for fd, name in passed.items() if name == _START)
        if kept:
            return min(kept)
        now = time.time()
        self._keep_start(now)
        return now

    def _keep_start(self, start: float) -> None:
        if self._send is None:
            return
        self._remove(_START)
        try:
            sheet = memfd.sealed(_MEMFD, json.dumps(start).encode())
            try:
                self._store(_START, [sheet])
            finally:
                os.close(sheet)
        except OSError as error:
            LOG.warning("the start time cannot survive a restart: systemd's fd store: %s", error)

    def take_over_hooks(self, passed: Mapping[int, str]) -> list[HookHandle]:
        """Return the complete hooks among the fds that systemd passed, by name; close the others."""
        hooks = []
        for name in sorted(name for name in set(passed.values()) if name.startswith(_HOOK)):
            fds: dict[str, list[int]] = {}
            for fd in (fd for fd, its in passed.items() if its == name):
                fds.setdefault(identity(fd).partition(":")[0], []).append(fd)
            match fds:
                case {"map_id": [array], "prog_id": [program], "link_id": links} if len(fds) == len(BPF_IDS):
                    hooks.append(HookHandle(name.removeprefix(_HOOK), array, tuple(links), program))
                case _:
                    LOG.warning("dropping '%s' from systemd's fd store: it is not complete", name)
                    self._remove(name)
                    _close(chain.from_iterable(fds.values()))
        return hooks

    def take_over(self, passed: Mapping[int, str]) -> list[ProbeHandle]:
        """Return the complete probes among the fds that systemd passed, by name; close everything else."""
        probes = []
        for name in sorted(name for name in set(passed.values()) - {_START} if not name.startswith(_HOOK)):
            fds = [fd for fd, its in passed.items() if its == name]
            try:
                handle, self.bcc_version = _whole(name, fds)
            except _UnusableError as error:
                LOG.warning("dropping '%s' from systemd's fd store: %s", name, error)
                self._remove(name)
                _close(fds)
            else:
                LOG.info("probe '%s' is attached: taken over", handle.loaded.name, extra={"PROBE": handle.loaded.name})
                probes.append(handle)
        return probes

    def _store(self, name: str, fds: Sequence[int]) -> None:
        if self._send is not None:
            # FDPOLL=0: systemd closes fds that poll as hung up, and some of these always do.
            self._send(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fds=fds)

    def _remove(self, name: str) -> None:
        if self._send is not None:
            self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _wait(self) -> None:
        """Wait until systemd has read everything, at most BARRIER_SECONDS. Source: sd_notify_barrier(3)."""
        if self._send is None:
            return
        reader, writer = os.pipe()
        self._send("BARRIER=1", fds=[writer])
        os.close(writer)
        select.select([reader], [], [], BARRIER_SECONDS)
        os.close(reader)


def _name(handle: ProbeHandle) -> str:
    """Return the name in the store: each version of a probe has its own programs, so its own name."""
    program = next(fd for name, fd in handle.fds.items() if name.kind == "program")
    return f"{_PROBE}{handle.loaded.name}.{identity(program)}".replace(":", "-")


def _whole(name: str, fds: Sequence[int]) -> tuple[ProbeHandle, str]:
    """Return the probe of some fds, and BCC's version. Raises _UnusableError."""
    if not name.startswith(_PROBE):
        raise _UnusableError("probed did not leave it there")
    sheets = [fd for fd in fds if memfd.is_sealed(fd, _MEMFD)]
    if len(sheets) != 1:
        raise _UnusableError(f"{len(sheets)} descriptions are with it, 1 was expected")
    rest = _read(sheets[0])
    there = {identity(fd): fd for fd in fds if fd not in sheets}
    wanted = dict(zip(rest.loaded.fd_names, rest.identities, strict=False))
    missing = [str(each) for each, its in wanted.items() if its not in there]
    if missing or len(there) != len(wanted) or len(wanted) != len(rest.loaded.fd_names):
        raise _UnusableError(f"it is not whole: of {len(wanted)} fds {len(there)} are there; missing: {missing}")
    _close(sheets)
    return ProbeHandle(rest.loaded, {each: there[its] for each, its in wanted.items()}), rest.bcc_version


def _read_start(fd: int) -> float | None:
    """Return the start time of an earlier supervisor; log a damaged one and return None."""
    try:
        return float(json.loads(memfd.read(fd)))
    except (OSError, ValueError, TypeError) as error:
        LOG.warning("dropping the start time from systemd's fd store: it cannot be read: %s", error)
        return None


def _read(fd: int) -> StoredProbe:
    try:
        data = json.loads(memfd.read(fd))
        version = data["version"]
        if version == manifest.VERSION:
            return structure.build(StoredProbe, data, structure.Source("the description"))
    except (ValueError, TypeError, KeyError, DeclarationError) as error:
        raise _UnusableError(f"its description cannot be read: {error}") from error
    raise _UnusableError(f"its description is of version {version}, this probed has {manifest.VERSION}")


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
