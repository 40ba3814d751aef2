# SPDX-License-Identifier: Apache-2.0
"""What rests with systemd while no supervisor runs: every fd of every probe that is up, the hooks, the sockets.

Programs stay attached and rings keep their events over a restart, whoever ends it and how. A probe goes into the store
in one message, so it is there whole or not at all, beside a sealed memfd that says what it is. The kernel's ids tell
its fds apart. What comes back is believed only if it is exactly that. `daemon` and `probes` say what goes in and out.
Source: sd_pid_notify_with_fds(3), FDSTORE=1.
"""

from __future__ import annotations

import json
import logging
import os
import select
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from probed.errors import DeclarationError
from probed.ipc import manifest
from probed.ipc.loader_process import Held, Hook
from probed.ipc.manifest import LoadedProbe
from probed.linux import memfd
from probed.linux.fdinfo import BPF_IDS, identity
from probed.schema import structure as shape

LOG = logging.getLogger("supervisor")

LISTENER: Final = "listener"
BARRIER_SECONDS = 5.0
_PROBE: Final = "probe."
_HOOK: Final = "hook."
_START: Final = "start"
_MEMFD: Final = "probed-manifest"


class Send(Protocol):
    """How systemd is told something: `systemd.daemon.notify`, or a test's stand-in."""

    def __call__(self, status: str, *, fds: Sequence[int] = ...) -> object:
        """Send assignments, one a line, and fds with them. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What lies beside a probe's fds: `identities` are theirs in the order of `loaded.fd_names`."""

    version: int
    bcc_version: str
    loaded: LoadedProbe
    identities: tuple[str, ...]


class _UnusableError(Exception):
    """What systemd kept cannot be taken over; the text says why."""


class Store:
    """systemd's fd store of this service, or none; then everything here does nothing."""

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self.bcc_version = ""

    @property
    def keeps(self) -> bool:
        """Say whether anything is kept."""
        return self._send is not None

    def keep(self, held: Held, bcc_version: str) -> None:
        """Leave a probe's fds there, in one message."""
        if self._send is None:
            return
        try:
            self._keep(held, bcc_version)
        except OSError as error:
            LOG.warning("probe '%s' will not outlive a restart: systemd cannot keep it: %s", held.loaded.name, error)

    def _keep(self, held: Held, bcc_version: str) -> None:
        fds = [held.fds[name] for name in held.loaded.fd_names]
        rest = Rest(manifest.VERSION, bcc_version, held.loaded, tuple(map(identity, fds)))
        sheet = memfd.sealed(_MEMFD, json.dumps(shape.to_data(rest)).encode())
        try:
            self._store(_name(held), [*fds, sheet])
        finally:
            os.close(sheet)

    def let_go(self, held: Held) -> None:
        """Take a probe's fds out of it, and close our own: it is detached."""
        if self._send is not None:
            self._remove(_name(held))
        held.close()

    def keep_hook(self, hook: Hook) -> None:
        """Leave a hook there: its link, its array and its program."""
        self._store(_HOOK + hook.tracepoint, [hook.link, hook.array, hook.program])

    def forget_hook(self, hook: Hook) -> None:
        """Take a hook out of it."""
        self._remove(_HOOK + hook.tracepoint)

    def keep_listeners(self, fds: Sequence[int]) -> None:
        """Leave the listening sockets there: clients wait in their queues while nobody takes them."""
        self._store(LISTENER, fds)

    def forget_listeners(self) -> None:
        """Take the listening sockets out of it, and return when that is done: another may want their addresses."""
        self._remove(LISTENER)
        self._wait()

    def take_over_start(self, passed: Mapping[int, str]) -> float:
        """Return since when the daemon's counters count, in seconds since the epoch, and keep it there.

        It is the start of the first supervisor whose counters systemd has kept until now, else this moment.
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
            LOG.warning("the start time will not outlive a restart: systemd cannot keep it: %s", error)

    def take_over_hooks(self, passed: Mapping[int, str]) -> list[Hook]:
        """Return the hooks that are whole, of the fds that systemd passed by name; let go of the others."""
        hooks = []
        for name in sorted(name for name in set(passed.values()) if name.startswith(_HOOK)):
            fds = {identity(fd).partition(":")[0]: fd for fd, its in passed.items() if its == name}
            if fds.keys() == set(BPF_IDS):
                hooks.append(Hook(name.removeprefix(_HOOK), fds["map_id"], fds["link_id"], fds["prog_id"]))
            else:
                LOG.warning("'%s', which systemd kept, is let go: it is not whole", name)
                self._remove(name)
                _close(fds.values())
        return hooks

    def take_over(self, passed: Mapping[int, str]) -> list[Held]:
        """Return the probes that are whole, of the fds that systemd passed by name; let go of everything else."""
        probes = []
        for name in sorted(name for name in set(passed.values()) - {_START} if not name.startswith(_HOOK)):
            fds = [fd for fd, its in passed.items() if its == name]
            try:
                held, self.bcc_version = _whole(name, fds)
            except _UnusableError as error:
                LOG.warning("'%s', which systemd kept, is let go: %s", name, error)
                self._remove(name)
                _close(fds)
            else:
                LOG.info("probe '%s' is attached: taken over", held.loaded.name, extra={"PROBE": held.loaded.name})
                probes.append(held)
        return probes

    def _store(self, name: str, fds: Sequence[int]) -> None:
        if self._send is not None:
            # FDPOLL=0: some of them poll as hung up all the time, at which systemd would close them.
            self._send(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fds=fds)

    def _remove(self, name: str) -> None:
        if self._send is not None:
            self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _wait(self) -> None:
        """Return when systemd has read what it was sent, or takes too long. Source: sd_notify_barrier(3)."""
        if self._send is None:
            return
        reader, writer = os.pipe()
        self._send("BARRIER=1", fds=[writer])
        os.close(writer)
        select.select([reader], [], [], BARRIER_SECONDS)
        os.close(reader)


def _name(held: Held) -> str:
    """Return what it is called in the store: no two versions of a probe have the same map."""
    return f"{_PROBE}{held.loaded.name}.{identity(held.fds['stats'])}".replace(":", "-")


def _whole(name: str, fds: Sequence[int]) -> tuple[Held, str]:
    """Return the probe that all these fds are, and BCC's version. Raises _UnusableError."""
    if not name.startswith(_PROBE):
        raise _UnusableError("probed did not leave it there")
    sheets = [fd for fd in fds if memfd.is_sealed(fd, _MEMFD)]
    if len(sheets) != 1:
        raise _UnusableError(f"{len(sheets)} descriptions are with it, 1 was expected")
    rest = _read(sheets[0])
    there = {identity(fd): fd for fd in fds if fd not in sheets}
    wanted = dict(zip(rest.loaded.fd_names, rest.identities, strict=False))
    missing = [each for each, its in wanted.items() if its not in there]
    if missing or len(there) != len(wanted) or len(wanted) != len(rest.loaded.fd_names):
        raise _UnusableError(f"it is not whole: of {len(wanted)} fds {len(there)} are there; missing: {missing}")
    _close(sheets)
    return Held(rest.loaded, {each: there[its] for each, its in wanted.items()}), rest.bcc_version


def _read_start(fd: int) -> float | None:
    """Return the start time that an earlier supervisor left; None, which is logged, where it is none."""
    try:
        return float(json.loads(memfd.read(fd)))
    except (OSError, ValueError, TypeError) as error:
        LOG.warning("the start time that systemd kept is let go: it cannot be read: %s", error)
        return None


def _read(fd: int) -> Rest:
    try:
        data = json.loads(memfd.read(fd))
        version = data["version"]
        if version == manifest.VERSION:
            return shape.build(Rest, data, shape.Source("the description"))
    except (ValueError, TypeError, KeyError, DeclarationError) as error:
        raise _UnusableError(f"its description cannot be read: {error}") from error
    raise _UnusableError(f"its description is of version {version}, this probed has {manifest.VERSION}")


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
