# SPDX-License-Identifier: Apache-2.0
"""Loads one trace probe and attaches it to hooks of its own, beside those of a running daemon.

The kernel's objects live as long as this process's fds: nothing stays behind, even after SIGKILL.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from probed.errors import LoadError
from probed.ipc.loader_messages import LoadRequest
from probed.ipc.loader_process import HookHandle, LoaderProcess, ProbeHandle, Result, wait
from probed.ipc.manifest import FdName, LoadedProbe
from probed.linux import bpf
from probed.linux.cpus import possible_cpus

RING_FULL: Final = 1
"""STAT_RING_FULL of probes/include/probed.bpf.h."""


class AttachedTrace:
    """An attached trace probe."""

    def __init__(self, handle: ProbeHandle, hooks: list[HookHandle]) -> None:
        """Put the programs into the slots of their hooks. Raises OSError."""
        self._handle = handle
        self._hooks = {hook.attach_point: hook for hook in hooks}
        self._counts = (ctypes.c_uint64 * possible_cpus())()
        programs: dict[str, dict[int, int]] = {}
        for place in self.loaded.places:
            program = handle.fds[FdName("program", place.program)]
            programs.setdefault(place.attach_point, {})[place.slot] = program
        for attach_point, of_point in programs.items():
            bpf.link_programs(self._hooks[attach_point].array, of_point)

    @property
    def loaded(self) -> LoadedProbe:
        """Description of the trace probe."""
        return self._handle.loaded

    @property
    def ring(self) -> int:
        """Fd of the ring."""
        return self._handle.fds[FdName("ring")]

    def lost(self) -> int:
        """Return the number of events that found the ring full. Raises OSError."""
        key = ctypes.c_uint32(RING_FULL)
        bpf.lookup(self._handle.fds[FdName("stats")], ctypes.addressof(key), ctypes.addressof(self._counts))
        return sum(self._counts)

    def stop(self) -> None:
        """Take the programs out of the hooks; the ring keeps the records. Raises OSError."""
        for attach_point in {place.attach_point for place in self.loaded.places}:
            bpf.link_programs(self._hooks[attach_point].array, {})


@contextmanager
def attached(make_request: Callable[[], LoadRequest]) -> Iterator[AttachedTrace]:
    """Load and attach a trace probe for the time of the context. Raises LoadError, HostError and OSError.

    `make_request` reads the files while the loader, which has started, imports its modules.
    """
    hooks: list[HookHandle] = []
    handle: ProbeHandle | None = None
    loading = LoaderProcess()
    try:
        loading.load([make_request()], "attach", {})
        while not loading.done:
            event = wait(loading)
            if isinstance(event, HookHandle):
                hooks.append(event)
            elif isinstance(event, Result):
                if isinstance(event.outcome, LoadError):
                    raise event.outcome
                handle = event.outcome
        assert handle is not None
        yield AttachedTrace(handle, hooks)
    finally:
        loading.abort()
        for hook in hooks:
            hook.close()
        if handle is not None:
            handle.close()
