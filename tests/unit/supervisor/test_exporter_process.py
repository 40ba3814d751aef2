# SPDX-License-Identifier: Apache-2.0
"""The exporter as the supervisor sees it, where there is none to be had, or one that cannot be trusted."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from probed.errors import HostError
from probed.ipc import manifest
from probed.ipc.channel import Channel
from probed.ipc.evidence_messages import EvidenceReport, WantEvidence
from probed.ipc.exporter_messages import (
    FROM_EXPORTER,
    TO_EXPORTER,
    CannotServe,
    Confined,
    FromExporter,
    NameContainers,
    Pulse,
    Start,
    ToExporter,
)
from probed.supervisor import exporter_limits, exporter_process
from probed.supervisor.exporter_limits import MOST_BYTES, MOST_MESSAGES
from probed.supervisor.exporter_process import FIRST_BACKOFF, MAX_LOGGED, ExporterProcess
from probed.supervisor.hooks import Hooks
from probed.supervisor.systemd.fdstore import Store
from probed.webconfig.options import WebOptions
from support.unit.raw_messages import send_raw

Make = Callable[[], ExporterProcess]


class Played:
    """Stands for an exporter; the test speaks for it."""

    def __init__(self) -> None:
        self.channel, theirs = Channel[ToExporter, FromExporter].pair(FROM_EXPORTER)
        self.theirs = Channel[FromExporter, ToExporter](theirs, TO_EXPORTER)
        self.killed = False

    def kill(self) -> None:
        self.killed = True

    def reap(self, _: float) -> str:
        self.channel.close()
        return "was killed by SIGKILL"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """Give the supervisor a played exporter."""
    one = Played()
    monkeypatch.setattr(exporter_process, "start_exporter", lambda: one)
    yield one
    one.theirs.close()
    one.channel.close()


@pytest.fixture
def make() -> Make:
    start = Start(manifest.VERSION, WebOptions(), None, "info", "logfmt", 10.0)
    return lambda: ExporterProcess(start, [], 30.0, Hooks(Store(None), {}), lambda: None)


def test_a_new_exporter_learns_the_names_of_containers_before_it_serves(make: Make, played: Played) -> None:
    one = make()
    one.known_containers = lambda: [NameContainers({"a" * 64: "web"}, ())]
    one.launch([], None)
    kinds = [played.theirs.receive().message for _ in range(3)]
    assert [type(kind).__name__ for kind in kinds] == ["Start", "NameContainers", "Serve"]
    one.name_containers(NameContainers({}, ("a" * 64,)))
    assert played.theirs.receive().message == NameContainers({}, ("a" * 64,))


def test_a_new_exporter_learns_the_sums_of_evidence_before_it_serves(make: Make, played: Played) -> None:
    one = make()
    one.known_evidence = lambda: EvidenceReport(samples=3)
    one.launch([], None)
    assert [played.theirs.receive().message for _ in range(3)][1] == EvidenceReport(samples=3)


STORM = {"rule": "starts", "cgroup": 71, "path": "/media.service"}


def test_a_storm_is_passed_on(make: Make, played: Played) -> None:
    one, wanted = make(), list[WantEvidence]()
    one.on_wanted_evidence = wanted.append
    one.launch([], None)
    played.theirs.send(WantEvidence("starts", 71, "/media.service"))
    assert one.heard() is None
    assert wanted == [WantEvidence("starts", 71, "/media.service")]
    assert not played.killed


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "everything"},
        {"cgroup": 0},
        {"cgroup": -1},
        {"cgroup": 1 << 63},
        {"path": "media.service"},
        {"path": "/../etc"},
        {"path": "/a/./b"},
        {"path": "/a\0b"},
        {"path": "/" + "a" * 4096},
        {"argv": "cat /etc/shadow"},
    ],
)
def test_an_exporter_that_asks_for_impossible_evidence_is_ended(
    make: Make, played: Played, changes: Mapping[str, object]
) -> None:
    one, wanted = make(), list[WantEvidence]()
    one.on_wanted_evidence = wanted.append
    one.launch([], None)
    send_raw(played.theirs, "WantEvidence", {**STORM, **changes})
    assert one.heard() is None
    assert played.killed
    assert wanted == []


def test_an_exporter_that_asks_for_evidence_of_a_site_without_is_ended(make: Make, played: Played) -> None:
    one = make()
    one.launch([], None)
    send_raw(played.theirs, "WantEvidence", STORM)
    assert one.heard() is None
    assert played.killed


@pytest.mark.parametrize(
    ("kind", "data"), [("Pulse", {"series": "many"}), ("Pulse", None), ("Order", None), ("RequestReload", None)]
)
def test_an_exporter_that_speaks_nonsense_is_ended(
    make: Make, played: Played, caplog: pytest.LogCaptureFixture, kind: str, data: object
) -> None:
    one = make()
    one.launch([], None)
    send_raw(played.theirs, kind, data)
    assert one.heard() is None
    assert played.killed
    assert "sent no valid message" in caplog.text


def test_an_exporter_that_sends_descriptors_is_ended_and_they_are_closed(make: Make, played: Played) -> None:
    one = make()
    one.launch([], None)
    reader, writer = socket.socketpair()
    with reader:
        with writer:
            played.theirs.send(Pulse(informed=True, series=3, lost=0), [writer.fileno()])
        assert one.heard() is None
        assert played.killed
        assert reader.recv(1) == b""


@pytest.mark.parametrize("number", [1 << 62, -(1 << 62), 10**4000])
def test_a_number_without_bound_ends_the_exporter(make: Make, played: Played, number: int) -> None:
    one = make()
    one.launch([], None)
    played.theirs.send(Pulse(informed=True, series=3, lost=number))
    assert one.heard() is None
    assert played.killed


def test_an_exporter_that_floods_the_supervisor_is_ended(
    make: Make, played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    one = make()
    one.launch([], None)
    for _ in range(MOST_MESSAGES):
        played.theirs.send(Pulse(informed=True, series=3, lost=0))
        assert one.heard() is not None
    assert not played.killed
    played.theirs.send(Pulse(informed=True, series=3, lost=0))
    assert one.is_heard
    assert one.heard() is None
    assert played.killed
    assert "more than 600 messages in 60 s" in caplog.text
    assert not one.is_heard
    one.launch([], None)
    assert one.is_heard


def test_the_limits_of_another_exporter_begin_anew(make: Make, played: Played) -> None:
    one = make()
    for _ in range(2):
        one.launch([], None)
        for _ in range(MOST_MESSAGES):
            played.theirs.send(Pulse(informed=True, series=3, lost=0))
            assert one.heard() is not None


def test_a_message_larger_than_any_of_the_exporter_ends_it(make: Make, played: Played) -> None:
    one = make()
    one.launch([], None)
    played.theirs.send(CannotServe("x" * MOST_BYTES))
    assert one.heard() is None
    assert played.killed


def test_an_exporter_that_takes_no_message_is_ended(
    make: Make, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter_limits, "MOST_SECONDS", 0.05)
    one = make()
    one.launch([], None)
    while not played.killed:
        one.tell_reloaded("x" * 10_000)
    played.killed = False
    one.tell_reloaded("x")
    assert played.killed


def test_an_exporter_that_serves_cannot_end_the_supervisor(make: Make, played: Played) -> None:
    """Clients come after this message, so no intruder comes before."""
    one = make()
    one.launch([], None)
    played.theirs.send(Confined())
    assert one.heard() is None
    assert not played.killed
    played.theirs.send(CannotServe("port taken"))
    assert one.heard() is None
    assert played.killed


def test_an_exporter_that_cannot_serve_ends_the_start_with_one_error(make: Make, played: Played) -> None:
    one = make()
    one.launch([], None)
    played.theirs.send(CannotServe("port taken"))
    with pytest.raises(HostError, match="port taken"):
        one.heard()
    assert not one.stop()
    assert not played.killed


def test_a_text_of_the_exporter_is_bounded_in_the_log(
    make: Make, played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    one = make()
    one.launch([], None)
    send_raw(played.theirs, "Pulse", {f"key{number}": 1 for number in range(1009)})
    assert one.heard() is None
    assert len(caplog.text) < 2 * MAX_LOGGED


@pytest.mark.parametrize("last", [Pulse(informed=True, series=3, lost=0), None])
def test_an_exporter_that_talks_on_at_stop_does_not_hold_it_up(
    make: Make, played: Played, monkeypatch: pytest.MonkeyPatch, last: Pulse | None
) -> None:
    one = make()
    one.launch([], None)
    for _ in range(17):
        if last is None:
            send_raw(played.theirs, "Nonsense", None)
        else:
            played.theirs.send(last)
    monkeypatch.setattr(exporter_process, "STOP_TIMEOUT", 0.05)
    assert one.stop() == "was killed by SIGKILL"
    assert one.child is None


def test_where_no_process_can_be_had_it_is_tried_later(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(exporter_process, "start_exporter", fail)
    one = make()
    before = time.monotonic()
    one.launch([], None)
    assert one.child is None
    assert one.restart_at is not None
    assert one.restart_at >= before + FIRST_BACKOFF
    assert one.restarts == 0
    assert "no exporter can be started: Resource temporarily unavailable (EAGAIN)" in caplog.text
    assert "TasksMax=" in caplog.text
