# SPDX-License-Identifier: Apache-2.0
"""What is attached in the kernel, and rests with systemd over a restart: the one always follows the other.

`daemon` says what came up and what goes; `hooks` knows the chains of programs, `fdstore` what systemd keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probed.ipc.loader_process import Held, Hook
from probed.supervisor.hooks import Hooks
from probed.supervisor.systemd.fdstore import Store


class Attached:
    """All hooks, and the programs behind them."""

    def __init__(self, store: Store, passed: Mapping[int, str]) -> None:
        """Take over the hooks that are whole, of the fds that rested with systemd, by name."""
        self._store = store
        self.hooks = Hooks(store.take_over_hooks(passed))

    def take_over(self, passed: Mapping[int, str]) -> list[Held]:
        """Return the probes that run on from before; let go of what is there and does not run."""
        there = self._store.take_over(passed)
        running = [held for held in there if self.hooks.have(held)]
        for held in there:
            if held not in running:
                self.let_go(held)
        return running

    def add(self, hook: Hook) -> None:
        """Hold a hook that is attached."""
        self.hooks.add(hook)
        self._store.keep_hook(hook)

    def attach(self, held: Held, bcc_version: str) -> None:
        """Let a probe's programs run. Raises OSError, and has let go of it then."""
        self._store.keep(held, bcc_version)
        try:
            self.hooks.attach(held)
        except OSError:
            self.let_go(held)
            raise

    def let_go(self, held: Held) -> None:
        """Let a probe's programs run no more, and close its fds."""
        self.hooks.detach(held)
        self._store.let_go(held)

    def keep_only(self, held: Iterable[Held]) -> None:
        """Detach the hooks that none of these probes has a place behind."""
        for hook in self.hooks.close_unused(held):
            self._store.forget_hook(hook)

    def end(self) -> None:
        """Detach all hooks, unless systemd keeps them: it detaches them itself, if this is no restart."""
        if not self._store.keeps:
            self.hooks.close_unused([])
