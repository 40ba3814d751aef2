# SPDX-License-Identifier: Apache-2.0
"""Runs of the loader with any behaviour: the test plays the loader's side of the channel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from probed.errors import HostError, LoadError
from probed.ipc import loader_process
from probed.ipc.channel import Channel
from probed.ipc.loader_messages import (
    TO_LOADER,
    AllWanted,
    EndOfRequests,
    Failure,
    Files,
    FromLoader,
    HostFailure,
    LoadBegun,
    LoadRequest,
    ProbeLoaded,
    ReadWebConfig,
    Refused,
    Settings,
    Text,
    ToLoader,
    Wanted,
    WebConfigRead,
)
from probed.ipc.loader_process import LoaderProcess, ProbeHandle, Result, SiteRead, WebRead
from probed.ipc.manifest import FdName, LoadedProbe
from probed.linux import fdinfo
from probed.webconfig.options import WebOptions
from probed.webconfig.settings import WebSummary

NONE = Text("", "")


def request(name: str) -> LoadRequest:
    return LoadRequest(name, NONE, None, NONE, NONE, NONE, "", name)


class Played:
    """Stands for the loader's process; `theirs` is its end of the channel."""

    all: list[Played]

    def __init__(self, _: str, receives: tuple[type[FromLoader], ...], stderr: int) -> None:
        self.channel, end = Channel[ToLoader, FromLoader].pair(receives)
        self.theirs = Channel[FromLoader, ToLoader](end, TO_LOADER)
        self.killed = False
        self._stderr = stderr
        self.all.append(self)

    def kill(self) -> None:
        self.killed = True

    def reap(self, _: float) -> str:
        self.channel.close()
        return "was killed by SIGKILL" if self.killed else "exited with status 1"

    def writes(self, text: str) -> None:
        """Write to the loader's standard error."""
        os.write(self._stderr, text.encode())

    def dies(self) -> None:
        self.theirs.close()

    def says(self, message: FromLoader, fds: tuple[int, ...] = ()) -> None:
        self.theirs.send(message, fds)

    def heard(self) -> list[ToLoader]:
        """Return the messages that it was sent."""
        told: list[ToLoader] = []
        self.theirs.set_timeout(0.01)
        try:
            while True:
                told.append(self.theirs.receive().message)
        except TimeoutError:
            return told


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Played]]:
    """Gives the loader that was started last."""
    Played.all = []
    monkeypatch.setattr(loader_process, "Child", Played)
    yield lambda: Played.all[-1]
    for played in Played.all:
        played.theirs.close()
        played.channel.close()


def test_what_is_read_comes_as_one_event(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.read(Files("probed.yaml", "/btf"))
    settings = Settings(WebOptions(max_requests=7), None, "info", "logfmt", {"docker": ("/var/lib/docker",)})
    play().says(settings)
    play().says(Wanted("A probe.", request("a")))
    play().says(AllWanted())
    assert [run.step(), run.step()] == [None, None]
    assert run.step() == SiteRead(settings, {"a": Wanted("A probe.", request("a"))})
    assert not run.done


def test_refused_files_end_the_run(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.read(Files("probed.yaml", "/btf"))
    play().says(Refused("probed.yaml:1: no"))
    assert run.step() == Refused("probed.yaml:1: no")
    assert run.done


def test_a_web_configuration_comes_with_its_memory_and_ends_the_run(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.read(ReadWebConfig("web.yaml"))
    assert play().heard() == [ReadWebConfig("web.yaml")]
    summary, memory = WebSummary(True, 2, {"web.yaml": "1"}), os.memfd_create("web")
    play().says(WebConfigRead(summary), (memory,))
    event = run.step()
    assert isinstance(event, WebRead)
    assert (event.summary, fdinfo.identity(event.fd), run.done) == (summary, fdinfo.identity(memory), True)
    os.close(event.fd)
    os.close(memory)


def test_a_loader_that_dies_while_it_reads_a_web_configuration_is_a_refusal(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.read(ReadWebConfig("web.yaml"))
    play().heard()
    play().dies()
    refused = Refused("web.yaml: the loader ended before it had read the files: exited with status 1")
    assert run.step() == refused
    assert run.done


def test_every_request_gets_its_result(play: Callable[[], Played], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_011.5)
    run = LoaderProcess()
    run.load([request("a"), request("b")], "attach", {})
    assert play().heard() == [request("a"), request("b"), EndOfRequests("attach")]
    reader, writer = os.pipe()
    loaded = LoadedProbe("a", "1", None, 0, (), (), (FdName("stats"), FdName("program", "x")))
    play().says(ProbeLoaded(loaded), (reader, writer))
    play().says(Failure("b", "verifier", "why", 0))
    up, down = run.step(), run.step()
    assert isinstance(up, Result)
    assert isinstance(up.outcome, ProbeHandle)
    assert set(up.outcome.fds) == {FdName("program", "x"), FdName("state"), FdName("stats")}
    assert up.outcome.loaded.start_time == 1_700_000_011.5
    up.outcome.close()
    assert isinstance(down, Result)
    assert str(down.outcome) == "probe 'b': why"
    assert run.done
    os.close(reader)
    os.close(writer)


def test_a_loader_that_dies_costs_the_probe_it_tried(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.load([request("a"), request("b"), request("c")], "attach", {})
    first = play()
    first.says(Failure("a", "compile", "no", 0))
    first.says(LoadBegun("b"))
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
    assert play().heard() == [request("c"), EndOfRequests("attach")]


def test_a_loader_that_crashes_in_the_compiler_tells_at_which_line(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.load([request("a")], "attach", {})
    play().writes("LLVM ERROR: \x1b[31mno\nStack dump:\n0.\ta.bpf.c:9:2: current parser token 'pragma'\n")
    play().dies()
    blamed = run.step()
    assert isinstance(blamed, Result)
    assert isinstance(blamed.outcome, LoadError)
    assert blamed.outcome.reason == "compile"
    assert blamed.outcome.text == (
        "the loader ended while it worked on this probe (it exited with status 1); the compiler was at:\n"
        "a.bpf.c:9: current parser token 'pragma'; its last lines:\nLLVM ERROR: \\x1b[31mno"
    )


def test_what_a_living_loader_writes_is_logged(play: Callable[[], Played], caplog: pytest.LogCaptureFixture) -> None:
    run = LoaderProcess()
    run.load([request("a")], "attach", {})
    play().writes("a traceback\n")
    play().says(Failure("a", "internal", "why", 0))
    run.step()
    assert caplog.messages == ["a traceback"]


def test_a_loader_that_hangs_is_killed_and_costs_the_probe_it_tried(
    play: Callable[[], Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_process, "SECONDS_A_PROBE", 0.0)
    run = LoaderProcess()
    run.load([request("a")], "attach", {})
    blamed = run.step()
    assert isinstance(blamed, Result)
    assert isinstance(blamed.outcome, LoadError)
    assert blamed.outcome.reason == "timeout"
    assert play().killed
    assert run.done


def test_a_loader_that_dies_while_it_reads_is_a_refusal(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.read(Files("probed.yaml", "/btf"))
    play().heard()
    play().dies()
    event = run.step()
    assert isinstance(event, Refused)
    assert "before it had read the files" in event.text
    assert run.done


def test_a_machine_that_can_load_nothing_is_an_error_of_the_host(play: Callable[[], Played]) -> None:
    run = LoaderProcess()
    run.load([request("a")], "attach", {})
    play().says(HostFailure("no_btf", "no BTF"))
    with pytest.raises(HostError, match="no BTF") as raised:
        run.step()
    assert raised.value.reason == "no_btf"
    assert run.done
