# SPDX-License-Identifier: Apache-2.0
"""A run of the loader, whatever the loader does: its side of the channel is played by the test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from probed.errors import HostError, LoadError
from probed.ipc import loader_process as loading
from probed.ipc.channel import Channel
from probed.ipc.loader_messages import Failure, Files, LoadRequest, Settings, Text, Wanted
from probed.ipc.loader_process import Held, Loading, Reading, Refused, Result
from probed.ipc.manifest import LoadedProbe
from probed.schema import structure as shape
from probed.webconfig.options import WebOptions

NONE = Text("", "")


def request(name: str) -> LoadRequest:
    return LoadRequest(name, NONE, None, NONE, NONE, NONE, "", name)


class Played:
    """Stands for the loader's process; `theirs` is its end of the channel."""

    all: list[Played]

    def __init__(self, _: str) -> None:
        self.channel, end = Channel.pair()
        self.theirs = Channel(end)
        self.killed = False
        self.all.append(self)

    def kill(self) -> None:
        self.killed = True

    def reap(self, _: float) -> str:
        self.channel.close()
        return "was killed by SIGKILL" if self.killed else "exited with status 1"

    def dies(self) -> None:
        self.theirs.close()

    def says(self, kind: str, data: Any = None, fds: tuple[int, ...] = ()) -> None:
        self.theirs.send(kind, data if isinstance(data, str | None) else shape.to_data(data), fds)

    def heard(self) -> list[str]:
        """Return the kinds and names of what it was told."""
        told = []
        self.theirs.set_timeout(0.01)
        try:
            while True:
                message = self.theirs.receive()
                data: Any = message.data
                told.append(f"{message.kind} {data['name']}" if message.kind == "load" else message.kind)
        except TimeoutError:
            return told


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Played]]:
    """Gives the loader that was started last."""
    Played.all = []
    monkeypatch.setattr(loading, "Child", Played)
    yield lambda: Played.all[-1]
    for played in Played.all:
        played.theirs.close()
        played.channel.close()


def test_what_is_read_comes_as_one_event(play: Callable[[], Played]) -> None:
    run = Loading()
    run.read(Files("probed.yaml", "/btf"))
    settings = Settings(WebOptions(max_requests=7), None, "info", "logfmt")
    play().says("settings", settings)
    play().says("wanted", Wanted("A probe.", request("a")))
    play().says("all")
    assert [run.step(), run.step()] == [None, None]
    assert run.step() == Reading(settings, {"a": Wanted("A probe.", request("a"))})
    assert not run.done


def test_refused_files_end_the_run(play: Callable[[], Played]) -> None:
    run = Loading()
    run.read(Files("probed.yaml", "/btf"))
    play().says("refused", "probed.yaml:1: no")
    assert run.step() == Refused("probed.yaml:1: no")
    assert run.done


def test_every_request_gets_its_result(play: Callable[[], Played], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_011.5)
    run = Loading()
    run.load([request("a"), request("b")], "attach", {})
    assert play().heard() == ["load a", "load b", "end"]
    reader, writer = os.pipe()
    play().says("loaded", LoadedProbe("a", "1", None, 0, (), (), ("stats", "program:x")), (reader, writer))
    play().says("failed", Failure("b", "verifier", "why", 0))
    up, down = run.step(), run.step()
    assert isinstance(up, Result)
    assert isinstance(up.outcome, Held)
    assert sorted(up.outcome.fds) == ["program:x", "state", "stats"]
    assert up.outcome.loaded.start_time == 1_700_000_011.5
    up.outcome.close()
    assert isinstance(down, Result)
    assert str(down.outcome) == "probe 'b': why"
    assert run.done
    os.close(reader)
    os.close(writer)


def test_a_loader_that_dies_costs_the_probe_it_tried(play: Callable[[], Played]) -> None:
    run = Loading()
    run.load([request("a"), request("b"), request("c")], "attach", {})
    first = play()
    first.says("failed", Failure("a", "compile", "no", 0))
    first.says("trying", "b")
    run.step()
    run.step()
    first.heard()
    first.dies()
    blamed = run.step()
    assert isinstance(blamed, Result)
    assert isinstance(blamed.outcome, LoadError)
    assert (blamed.name, blamed.outcome.reason) == ("b", "internal")
    assert "exited with status 1" in str(blamed.outcome)
    assert play() is not first
    assert play().heard() == ["load c", "end"]


def test_a_loader_that_hangs_is_killed_and_costs_the_probe_it_tried(
    play: Callable[[], Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "SECONDS_A_PROBE", 0.0)
    run = Loading()
    run.load([request("a")], "attach", {})
    blamed = run.step()
    assert isinstance(blamed, Result)
    assert isinstance(blamed.outcome, LoadError)
    assert blamed.outcome.reason == "timeout"
    assert play().killed
    assert run.done


def test_a_loader_that_dies_while_it_reads_is_a_refusal(play: Callable[[], Played]) -> None:
    run = Loading()
    run.read(Files("probed.yaml", "/btf"))
    play().heard()
    play().dies()
    event = run.step()
    assert isinstance(event, Refused)
    assert "before it had read the files" in event.text
    assert run.done


def test_a_machine_that_can_load_nothing_is_an_error_of_the_host(play: Callable[[], Played]) -> None:
    run = Loading()
    run.load([request("a")], "attach", {})
    play().says("host", Failure("", "no_btf", "no BTF", 0))
    with pytest.raises(HostError, match="no BTF") as raised:
        run.step()
    assert raised.value.reason == "no_btf"
    assert run.done
