# SPDX-License-Identifier: Apache-2.0
"""Keeps the programs in the kernel and systemd's fd store consistent: every attach and detach changes both.

A hook is a program at an attach point, with an array of programs to jump into (`loader.common.hook_chain`). A hook
stays while a probe has a slot behind the hook. Beside a hook in a kprobe the supervisor holds one or two others, the
switches: empty programs that make the kernel call the tracepoint (`loader.common.preemption`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from probed.ipc.loader_process import HookHandle, ProbeHandle
from probed.ipc.manifest import ChainSlot, FdName, switch_names
from probed.linux import bpf
from probed.linux.fdinfo import identity
from probed.supervisor.systemd.fdstore import Store


class Hooks:
    """All hooks by attach point, and the programs behind them."""

    def __init__(self, store: Store, passed: Mapping[int, str]) -> None:
        """Take over the complete hooks among the fds that systemd passed, by name."""
        self._store = store
        self._hooks = {hook.attach_point: hook for hook in store.take_over_hooks(passed)}
        self._programs: defaultdict[str, dict[int, int]] = defaultdict(dict)  # fds by attach point and slot

    def take_over(self, passed: Mapping[int, str]) -> list[ProbeHandle]:
        """Return the stored probes that still run; let the others go, and complete the chains."""
        stored = self._store.take_over(passed)
        running = [handle for handle in stored if self._have(handle)]
        for handle in running:
            self._note(handle)
        for attach_point in self._hooks:
            self._link(attach_point)
        for handle in stored:
            if handle not in running:
                self._store.let_go(handle)
        return running

    def add(self, hook: HookHandle) -> None:
        """Hold a hook that the loader has attached."""
        self._hooks[hook.attach_point] = hook
        self._store.keep_hook(hook)

    def attach(self, handle: ProbeHandle, bcc_version: str, running: ProbeHandle | None = None) -> None:
        """Put a probe's programs into their slots. Raises OSError, after having closed the probe.

        Programs of a `running` version with the same maps leave the same slots in the same moment. The fd store has one
        of both versions, since systemd keeps only one fd of a map.
        """
        if running:
            self._store.forget(running)
        self._store.keep(handle, bcc_version)
        try:
            self._put(handle)
        except OSError:
            self.give_up(handle, bcc_version, running)
            raise

    def give_up(self, handle: ProbeHandle, bcc_version: str, running: ProbeHandle | None) -> None:
        """Let a probe go that cannot run; put the programs of the `running` version back. Raises OSError."""
        if running:
            self._put(running)
        self.let_go(handle)
        if running:
            self._store.keep(running, bcc_version)

    def _put(self, handle: ProbeHandle) -> None:
        self._note(handle)
        for attach_point in dict.fromkeys(place.attach_point for place in handle.loaded.places):
            self._link(attach_point)

    def _note(self, handle: ProbeHandle) -> None:
        for place in handle.loaded.places:
            self._programs[place.attach_point][place.slot] = _program(handle, place)

    def _link(self, attach_point: str) -> None:
        bpf.link_programs(self._hooks[attach_point].array, self._programs[attach_point])

    def let_go(self, handle: ProbeHandle) -> None:
        """Take a probe's programs out of their slots, and close its fds; slots without a hook are passed over."""
        left = set()
        for place in handle.loaded.places:
            if self._programs[place.attach_point].get(place.slot) == _program(handle, place):
                del self._programs[place.attach_point][place.slot]
                left.add(place.attach_point)
        for attach_point in left:
            self._link(attach_point)
        self._store.let_go(handle)

    def keep_only(self, handles: Iterable[ProbeHandle]) -> None:
        """Detach the hooks behind which none of these probes has a slot."""
        for hook in self._detach_unused(handles):
            self._store.forget_hook(hook)

    def end(self) -> None:
        """Detach all hooks, unless systemd keeps copies for the next supervisor."""
        if not self._store.keeps:
            self._detach_unused([])

    def _detach_unused(self, handles: Iterable[ProbeHandle]) -> list[HookHandle]:
        used = {place.attach_point for each in handles for place in each.loaded.places}
        used |= {name for attach_point in used for name in switch_names(attach_point)}
        unused = [hook for attach_point, hook in self._hooks.items() if attach_point not in used]
        for hook in unused:
            self._hooks.pop(hook.attach_point).close()
            self._programs.pop(hook.attach_point, None)
        return unused

    def arrays(self) -> Mapping[str, int]:
        """Return the arrays of programs by attach point, in which the loader finds slots for new programs."""
        return {attach_point: hook.array for attach_point, hook in self._hooks.items()}

    def programs(self, handle: ProbeHandle) -> Mapping[str, int]:
        """Return the programs of the hooks in front of a probe, by attach point."""
        return {place.attach_point: self._hooks[place.attach_point].program for place in handle.loaded.places}

    def _have(self, handle: ProbeHandle) -> bool:
        return all(self._runs(handle, place) for place in handle.loaded.places)

    def _runs(self, handle: ProbeHandle, place: ChainSlot) -> bool:
        hook = self._hooks.get(place.attach_point)
        if hook is None:
            return False
        return identity(_program(handle, place)) == f"prog_id:{bpf.program_id(hook.array, place.slot)}"


def _program(handle: ProbeHandle, place: ChainSlot) -> int:
    return handle.fds[FdName("program", place.program)]
