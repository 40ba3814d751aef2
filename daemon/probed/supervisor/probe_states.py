# SPDX-License-Identifier: Apache-2.0
"""States of the probes: wanted, up or failed, and the times of retries.

The supervisor's loop reports every result. This module loads no probe, and closes the fds of probes that go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from probed.errors import REASONS, LoadError, Reason
from probed.ipc.exporter_messages import ProbeStatus
from probed.ipc.loader_messages import LoadRequest, Wanted
from probed.ipc.loader_process import ProbeHandle
from probed.ipc.manifest import LoadedProbe
from probed.ipc.message import MAX_TEXT, bounded

FIRST_RETRY = 10.0
LAST_RETRY = 600.0


@dataclass(slots=True)
class ProbeState:
    """One wanted probe. `handle` is the version that runs, even if a newer one failed; `error` is the last failure."""

    wanted: Wanted
    handle: ProbeHandle | None = None
    error: LoadError | None = None
    failures: Counter[Reason] = field(default_factory=Counter)
    retry_in: float = FIRST_RETRY
    retry_at: float | None = None

    def status(self, most: int = MAX_TEXT) -> ProbeStatus:
        """Return the state that the exporter shows, with at most `most` characters of the error."""
        error = None if self.handle else self.error
        return ProbeStatus(
            name=self.wanted.request.name,
            description=self.wanted.description,
            up=self.handle is not None,
            reason=error.reason if error else "",
            text=bounded(error.text, most) if error else "",
            failures={reason: self.failures[reason] for reason in REASONS},
            loader=self.handle.loaded.loader if self.handle else "",
        )


def _is_version(loaded: LoadedProbe, wanted: LoadRequest) -> bool:
    """Say whether a loaded probe was made of the wanted sources, and came in the wanted way."""
    digest = wanted.object.digest if wanted.object else ""
    return (loaded.fingerprint, loaded.object) == (wanted.fingerprint, digest)


class Probes:
    """All wanted probes by name."""

    def __init__(self, let_go: Callable[[ProbeHandle], None] = ProbeHandle.close) -> None:
        """`let_go` detaches a probe and closes its fds."""
        self._let_go = let_go
        self._states: dict[str, ProbeState] = {}

    def __iter__(self) -> Iterator[ProbeState]:
        return iter(self._states.values())

    def statuses(self) -> tuple[ProbeStatus, ...]:
        """Return the states of all probes, with texts that fit into one message together."""
        return tuple(state.status(MAX_TEXT // len(self._states)) for state in self)

    def handles(self) -> list[ProbeHandle]:
        """Return the probes that run."""
        return [state.handle for state in self if state.handle]

    def start(self, wanted: Mapping[str, Wanted], handles: Sequence[ProbeHandle]) -> list[str]:
        """Begin with the wanted and the running probes; return the names to load.

        A probe that is not wanted is let go. An interrupted reload leaves two versions of one probe: the wanted one
        stays.
        """
        self.want(wanted)
        for each in sorted(handles, key=lambda each: self._is_wanted(each.loaded)):
            if each.loaded.name in self._states:
                self.came_up(each.loaded.name, each)
            else:
                self._let_go(each)
        return self.want(wanted)[0]

    def _is_wanted(self, loaded: LoadedProbe) -> bool:
        state = self._states.get(loaded.name)
        return state is not None and _is_version(loaded, state.wanted.request)

    def want(self, wanted: Mapping[str, Wanted]) -> tuple[list[str], list[str]]:
        """Replace the wanted probes; return the names to load, and the names to remove from the exporter.

        Probes that are no longer wanted are let go.
        """
        gone = [name for name in self._states if name not in wanted]
        for name in gone:
            handle = self._states.pop(name).handle
            if handle:
                self._let_go(handle)
        for name, each in wanted.items():
            self._states.setdefault(name, ProbeState(each)).wanted = each
        return self.outdated(), gone

    def outdated(self) -> list[str]:
        """Return the probes of which the wanted version is not up."""
        return [state.wanted.request.name for state in self if self._outdated(state)]

    @staticmethod
    def _outdated(state: ProbeState) -> bool:
        return state.handle is None or not _is_version(state.handle.loaded, state.wanted.request)

    def renewed(self, names: Iterable[str]) -> dict[str, ProbeHandle]:
        """Return those of the named probes that run, and that an object of the same sources renews."""
        states = {name: self._states[name] for name in names}
        return {
            name: state.handle
            for name, state in states.items()
            if state.handle is not None
            and state.wanted.request.object is not None
            and state.wanted.request.fingerprint == state.handle.loaded.fingerprint
        }

    def with_maps_of(self, handle: ProbeHandle) -> ProbeHandle | None:
        """Return the running version of a probe if it has the same maps."""
        running = self._states[handle.loaded.name].handle
        return running if running is not None and running.shares_maps(handle) else None

    def came_up(self, name: str, handle: ProbeHandle) -> None:
        """Hold a loaded probe, and let an older version go."""
        state = self._states[name]
        old, state.handle = state.handle, handle
        state.error, state.retry_at, state.retry_in = None, None, FIRST_RETRY
        if old:
            self._let_go(old)

    def failed(self, error: LoadError, now: float) -> float:
        """Note a failed load; return the seconds until the retry."""
        state = self._states[error.probe]
        state.error = error
        state.failures[error.reason] += 1
        wait, state.retry_in = state.retry_in, min(2 * state.retry_in, LAST_RETRY)
        state.retry_at = now + wait
        return wait

    def due(self, now: float) -> list[str]:
        """Return the probes of which the retry is due."""
        return [s.wanted.request.name for s in self if s.retry_at is not None and s.retry_at <= now]

    def next_retry(self) -> float | None:
        """Return the time of the next retry, None without one."""
        return min((s.retry_at for s in self if s.retry_at is not None), default=None)

    def requests(self, names: list[str]) -> list[Wanted]:
        """Return the wanted versions of some probes for the loader, and clear the retries."""
        for name in names:
            self._states[name].retry_at = None
        return [self._states[name].wanted for name in names]

    def other_with_metric_of(self, handle: ProbeHandle) -> str | None:
        """Return the name of another running probe with a metric of the same name, None without one."""
        metrics = {metric.name for metric in handle.loaded.metrics}
        for other in self.handles():
            if other.loaded.name != handle.loaded.name and metrics & {metric.name for metric in other.loaded.metrics}:
                return other.loaded.name
        return None

    def close(self) -> None:
        """Let every probe go."""
        for state in self:
            if state.handle:
                self._let_go(state.handle)
                state.handle = None
