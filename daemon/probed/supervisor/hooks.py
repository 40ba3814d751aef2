# SPDX-License-Identifier: Apache-2.0
"""The hooks on raw tracepoints and the programs behind them: who is in the chain runs.

`daemon` tells it what came up and what goes. A hook is an attached program and the array that it jumps into (see
`loader.chain`); it stays while a probe has a place behind it, and rests with systemd over a restart (`fdstore`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probed.ipc.loader_process import Held, Hook
from probed.ipc.manifest import Place
from probed.linux import bpf
from probed.linux.fdinfo import identity


class Hooks:
    """All hooks by tracepoint."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        """`hooks` are those that rested with systemd."""
        self._hooks = {hook.tracepoint: hook for hook in hooks}

    def add(self, hook: Hook) -> None:
        """Hold a hook that is attached."""
        self._hooks[hook.tracepoint] = hook

    def arrays(self) -> Mapping[str, int]:
        """Return the arrays by tracepoint: new programs want places in them."""
        return {tracepoint: hook.array for tracepoint, hook in self._hooks.items()}

    def programs(self, held: Held) -> Mapping[str, int]:
        """Return the programs of the hooks that a probe is behind, by tracepoint."""
        return {place.tracepoint: self._hooks[place.tracepoint].program for place in held.loaded.places}

    def attach(self, held: Held) -> None:
        """Let a probe's programs run. Raises OSError."""
        for place in held.loaded.places:
            array = self._hooks[place.tracepoint].array
            bpf.put_program(array, place.slot, held.fds[f"program:{place.program}"])

    def detach(self, held: Held) -> None:
        """Take a probe's programs out of the chains; nothing happens where they are in none."""
        for place in held.loaded.places:
            hook = self._hooks.get(place.tracepoint)
            if hook is not None:
                bpf.take_program(hook.array, place.slot)

    def have(self, held: Held) -> bool:
        """Say whether a probe's programs all run."""
        return all(self._runs(held, place) for place in held.loaded.places)

    def _runs(self, held: Held, place: Place) -> bool:
        hook = self._hooks.get(place.tracepoint)
        if hook is None:
            return False
        program = held.fds[f"program:{place.program}"]
        return identity(program) == f"prog_id:{bpf.program_id(hook.array, place.slot)}"

    def close_unused(self, held: Iterable[Held]) -> list[Hook]:
        """Detach the hooks that no probe has a place behind; return them."""
        used = {place.tracepoint for each in held for place in each.loaded.places}
        unused = [hook for tracepoint, hook in self._hooks.items() if tracepoint not in used]
        for hook in unused:
            self._hooks.pop(hook.tracepoint).close()
        return unused
