# SPDX-License-Identifier: Apache-2.0
"""Results of a played loader reach hooks, exporter and states."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from probed.errors import HostError, LoadError
from probed.ipc.loader_messages import LoadRequest, Text, Wanted
from probed.ipc.loader_process import ProbeHandle, Result
from probed.ipc.manifest import FdName, LoadedProbe, ResolvedMetric
from probed.supervisor.probe_loads import ProbeLoads
from probed.supervisor.probe_states import Probes
from probed.supervisor.reload_state import Reloads
from probed.supervisor.systemd.notify import Notifier

NONE = Text("", "")


def wanted(name: str) -> Wanted:
    return Wanted(f"The probe {name}.", LoadRequest(name, NONE, None, NONE, NONE, NONE, "", "1"))


def held(name: str, metric: str) -> ProbeHandle:
    of = ResolvedMetric(metric, "counter", "Help.", ("m",), {}, (), None, 1.0, ())
    loaded = LoadedProbe(name, "1", None, 0, (), (of,), (FdName("stats"),))
    return ProbeHandle(loaded, {FdName("stats"): os.memfd_create("stats")})


class Played:
    """Stands for loader, hooks and exporter: plays an event, and may refuse a probe."""

    bcc_version = "0.31.0"
    done = True

    def __init__(self, event: Result | HostError, full: str = "") -> None:
        self._event = event
        self._full = full
        self.calls: list[str] = []

    def step(self) -> Result:
        if isinstance(self._event, HostError):
            raise self._event
        return self._event

    def attach(self, *_: Any) -> None:
        self._call("attach")

    def add(self, _: ProbeHandle) -> None:
        self._call("add")

    def give_up(self, *_: Any) -> None:
        self._call("give_up")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self._full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def probes() -> Iterator[Probes]:
    """Of the wanted probes `a` and `b`, `a` is up."""
    probes = Probes()
    probes.want({name: wanted(name) for name in "ab"})
    probes.came_up("a", held("a", "probed_a_total"))
    yield probes
    probes.close()


def loads(probes: Probes, played: Any) -> ProbeLoads:
    return ProbeLoads(played, probes, played, played, Reloads(Notifier(None), lambda _: None))


def failures(probes: Probes) -> dict[str, str]:
    return {state.wanted.request.name: str(state.error.reason) for state in probes if state.error}


def test_a_probe_is_up_once_hooks_and_exporter_have_it(probes: Probes) -> None:
    played = Played(Result("b", held("b", "probed_b_total")))
    load = loads(probes, played)
    assert load.step() is None
    assert played.calls == ["attach", "add"]
    assert [each.loaded.name for each in probes.handles()] == ["a", "b"]
    assert load.bcc_version == "0.31.0"
    assert (load.end(), load.end(), load.loader) == (True, False, None)


def test_a_probe_with_a_metric_of_another_one_that_runs_fails(probes: Probes) -> None:
    handle = held("b", "probed_a_total")
    played = Played(Result("b", handle))
    loads(probes, played).step()
    assert (played.calls, failures(probes)) == ([], {"b": "declaration"})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle.fds[FdName("stats")])


@pytest.mark.parametrize(
    ("full", "calls", "reason"),
    [("attach", ["attach"], "attach_point"), ("add", ["attach", "add", "give_up"], "internal")],
)
def test_a_probe_without_room_in_a_chain_or_in_the_exporter_fails(
    probes: Probes, full: str, calls: list[str], reason: str
) -> None:
    handle = held("b", "probed_b_total")
    played = Played(Result("b", handle), full)
    loads(probes, played).step()
    assert (played.calls, failures(probes)) == (calls, {"b": reason})
    handle.close()


def test_a_failed_probe_makes_a_reload_fail(probes: Probes) -> None:
    load = loads(probes, Played(Result("b", LoadError("b", "compile", "wrong"))))
    load._reloads.begin()
    load.step()
    assert (failures(probes), load._reloads.successful) == ({"b": "compile"}, False)


def test_a_host_that_can_load_nothing_ends_the_start_alone(probes: Probes) -> None:
    load = loads(probes, Played(HostError("no memory", "memlock")))
    with pytest.raises(HostError, match="no memory"):
        load.step()
    load.first_has_ended = True
    assert load.step() is None
    assert (failures(probes), load._reloads.successful) == ({"b": "memlock"}, False)
