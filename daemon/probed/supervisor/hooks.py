# SPDX-License-Identifier: Apache-2.0
"""Keeps the programs in the kernel and systemd's fd store consistent: every attach and detach changes both.

The supervisor's loop calls it when a probe comes up or goes. A hook is a program attached to a raw tracepoint, and the
array of programs that the hook jumps into (`loader.hook_chain`). A hook stays while a probe has a slot behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probed.ipc.loader_process import Held, Hook
from probed.ipc.manifest import Place
from probed.linux import bpf
from probed.linux.fdinfo import identity
from probed.supervisor.systemd.fdstore import Store


class Hooks:
    """All hooks by tracepoint, and the programs behind them."""

    def __init__(self, store: Store, passed: Mapping[int, str]) -> None:
        """Take over the complete hooks among the fds that systemd passed, by name."""
        self._store = store
        self._hooks = {hook.tracepoint: hook for hook in store.take_over_hooks(passed)}

    def take_over(self, passed: Mapping[int, str]) -> list[Held]:
        """Return the probes that still run from before; close those that do not."""
        stored = self._store.take_over(passed)
        running = [held for held in stored if self._have(held)]
        for held in stored:
            if held not in running:
                self.let_go(held)
        return running

    def add(self, hook: Hook) -> None:
        """Hold a hook that the loader has attached."""
        self._hooks[hook.tracepoint] = hook
        self._store.keep_hook(hook)

    def attach(self, held: Held, bcc_version: str) -> None:
        """Put a probe's programs into their slots. Raises OSError, after having closed the probe."""
        self._store.keep(held, bcc_version)
        try:
            for place in held.loaded.places:
                array = self._hooks[place.tracepoint].array
                bpf.put_program(array, place.slot, held.fds[f"program:{place.program}"])
        except OSError:
            self.let_go(held)
            raise

    def let_go(self, held: Held) -> None:
        """Take a probe's programs out of their slots, and close its fds; slots without a hook are passed over."""
        for place in held.loaded.places:
            hook = self._hooks.get(place.tracepoint)
            if hook is not None:
                bpf.take_program(hook.array, place.slot)
        self._store.let_go(held)

    def keep_only(self, held: Iterable[Held]) -> None:
        """Detach the hooks behind which none of these probes has a slot."""
        for hook in self._detach_unused(held):
            self._store.forget_hook(hook)

    def end(self) -> None:
        """Detach all hooks, unless systemd keeps them: systemd closes its copies if no supervisor starts again."""
        if not self._store.keeps:
            self._detach_unused([])

    def _detach_unused(self, held: Iterable[Held]) -> list[Hook]:
        used = {place.tracepoint for each in held for place in each.loaded.places}
        unused = [hook for tracepoint, hook in self._hooks.items() if tracepoint not in used]
        for hook in unused:
            self._hooks.pop(hook.tracepoint).close()
        return unused

    def arrays(self) -> Mapping[str, int]:
        """Return the arrays of programs by tracepoint, in which the loader finds slots for new programs."""
        return {tracepoint: hook.array for tracepoint, hook in self._hooks.items()}

    def programs(self, held: Held) -> Mapping[str, int]:
        """Return the programs of the hooks in front of a probe, by tracepoint."""
        return {place.tracepoint: self._hooks[place.tracepoint].program for place in held.loaded.places}

    def _have(self, held: Held) -> bool:
        return all(self._runs(held, place) for place in held.loaded.places)

    def _runs(self, held: Held, place: Place) -> bool:
        hook = self._hooks.get(place.tracepoint)
        if hook is None:
            return False
        program = held.fds[f"program:{place.program}"]
        return identity(program) == f"prog_id:{bpf.program_id(hook.array, place.slot)}"
