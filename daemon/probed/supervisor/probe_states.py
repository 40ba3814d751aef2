# SPDX-License-Identifier: Apache-2.0
"""Which probes are wanted, which are up, which failed and when they are tried again: the supervisor's memory.

`daemon` tells it what happened; it does nothing to the kernel itself but to let go of fds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from probed.errors import REASONS, LoadError, Reason
from probed.ipc.exporter_messages import ProbeStatus
from probed.ipc.loader_messages import Wanted
from probed.ipc.loader_process import Held
from probed.ipc.manifest import LoadedProbe

FIRST_RETRY = 10.0
LAST_RETRY = 600.0


@dataclass(slots=True)
class State:
    """One wanted probe. `held` is what runs, even if a newer version of it failed; `error` is the last failure."""

    wanted: Wanted
    held: Held | None = None
    error: LoadError | None = None
    failures: Counter[Reason] = field(default_factory=Counter)
    retry_in: float = FIRST_RETRY
    retry_at: float | None = None

    def status(self) -> ProbeStatus:
        """Return what the exporter shows."""
        error = None if self.held else self.error
        return ProbeStatus(
            name=self.wanted.request.name,
            description=self.wanted.description,
            up=self.held is not None,
            reason=error.reason if error else "",
            text=error.text if error else "",
            failures={reason: self.failures[reason] for reason in REASONS},
        )


class Probes:
    """All wanted probes by name."""

    def __init__(self, let_go: Callable[[Held], None] = Held.close) -> None:
        """`let_go` detaches one."""
        self._let_go = let_go
        self._states: dict[str, State] = {}

    def __iter__(self) -> Iterator[State]:
        return iter(self._states.values())

    def held(self) -> list[Held]:
        """Return what runs."""
        return [state.held for state in self if state.held]

    def start(self, wanted: Mapping[str, Wanted], held: Sequence[Held]) -> list[str]:
        """Begin with what the site wants and what runs already; return the names to load.

        What runs and is not wanted, or runs twice, is let go: an interrupted reload leaves two versions, of which the
        wanted one stays.
        """
        self.want(wanted)
        for each in sorted(held, key=lambda each: self._is_wanted(each.loaded)):
            if each.loaded.name in self._states:
                self.came_up(each.loaded.name, each)
            else:
                self._let_go(each)
        return self.want(wanted)[0]

    def _is_wanted(self, loaded: LoadedProbe) -> bool:
        state = self._states.get(loaded.name)
        return state is not None and state.wanted.request.fingerprint == loaded.fingerprint

    def want(self, wanted: Mapping[str, Wanted]) -> tuple[list[str], list[str]]:
        """Take over what the site wants now; return the names to load, and the names to remove from the exporter.

        What is no longer wanted is let go here.
        """
        gone = [name for name in self._states if name not in wanted]
        for name in gone:
            held = self._states.pop(name).held
            if held:
                self._let_go(held)
        for name, each in wanted.items():
            self._states.setdefault(name, State(each)).wanted = each
        return self.outdated(), gone

    def outdated(self) -> list[str]:
        """Return the probes that are not up as they are wanted."""
        return [state.wanted.request.name for state in self if self._outdated(state)]

    @staticmethod
    def _outdated(state: State) -> bool:
        return state.held is None or state.held.loaded.fingerprint != state.wanted.request.fingerprint

    def came_up(self, name: str, held: Held) -> None:
        """Hold a loaded probe, instead of an older version of it."""
        state = self._states[name]
        old, state.held = state.held, held
        state.error, state.retry_at, state.retry_in = None, None, FIRST_RETRY
        if old:
            self._let_go(old)

    def failed(self, error: LoadError, now: float) -> float:
        """Note a failed load; return in how many seconds it is tried again."""
        state = self._states[error.probe]
        state.error = error
        state.failures[error.reason] += 1
        wait, state.retry_in = state.retry_in, min(2 * state.retry_in, LAST_RETRY)
        state.retry_at = now + wait
        return wait

    def due(self, now: float) -> list[str]:
        """Return the probes whose time to be tried again has come."""
        return [s.wanted.request.name for s in self if s.retry_at is not None and s.retry_at <= now]

    def next_retry(self) -> float | None:
        """Return when the next probe is to be tried again; None when none is."""
        return min((s.retry_at for s in self if s.retry_at is not None), default=None)

    def requests(self, names: list[str]) -> list[Wanted]:
        """Return what is wanted of these probes, and stop their clocks: they are being tried."""
        for name in names:
            self._states[name].retry_at = None
        return [self._states[name].wanted for name in names]

    def other_with_metric_of(self, held: Held) -> str | None:
        """Return the name of another running probe that exports one of the same metrics, if there is one."""
        metrics = {metric.name for metric in held.loaded.metrics}
        for other in self.held():
            if other.loaded.name != held.loaded.name and metrics & {metric.name for metric in other.loaded.metrics}:
                return other.loaded.name
        return None

    def close(self) -> None:
        """Let go of everything."""
        for state in self:
            if state.held:
                self._let_go(state.held)
                state.held = None
