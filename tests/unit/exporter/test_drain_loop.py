# SPDX-License-Identifier: Apache-2.0
"""The exporter's loop turns, proves its turns, and follows the supervisor; rings are eventfds here."""

import os
import select
import threading
from collections.abc import Iterator

import pytest

from probed.errors import DeclarationError
from probed.exporter import drain_loop as loop
from probed.exporter.collection.served_status import ServedStatus
from probed.exporter.drain_loop import Loop
from probed.ipc.channel import Channel, Closed
from probed.ipc.evidence_messages import EvidenceReport, WantEvidence
from probed.ipc.exporter_messages import (
    FROM_EXPORTER,
    TO_EXPORTER,
    FromExporter,
    RemoveProbe,
    Serve,
    Status,
    Stop,
    ToExporter,
)
from support.running_daemon import until
from support.unit.raw_messages import send_raw


class Counting:
    """Stands for the collector: counts drains, and can be made to hang in one."""

    def __init__(self) -> None:
        self.drains = 0
        self.held_up_for = 0
        self.kept_up = 0
        self.status = ServedStatus()
        self.removed: list[str] = []
        self.watches = 0
        self.wanted: list[WantEvidence] = []
        self.evidence = EvidenceReport()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    @property
    def is_held_up(self) -> bool:
        return self.drains > 0 and self.held_up_for > 0

    def drain(self) -> None:
        self.drains += 1
        self.held_up_for -= 1
        self.may_go_on.wait()

    def begin_watch(self) -> None:
        self.watches += 1

    def watch_due_in(self) -> float:
        return 0.0 if self.wanted else float("inf")

    def end_watch(self) -> list[WantEvidence]:
        wanted, self.wanted = self.wanted, []
        return wanted

    def keep_up(self) -> None:
        self.kept_up += 1

    def remove(self, name: str) -> None:
        self.removed.append(name)


class Resting:
    """Stands for the heartbeat: never due, but hastened."""

    def __init__(self) -> None:
        self.beats = 0
        self.due = False

    def due_in(self) -> float:
        return 0.0 if self.due else 60.0

    def send_now(self) -> None:
        self.due = True

    def send(self) -> None:
        self.due = False
        self.beats += 1


class Running:
    """A loop on a thread of its own, and the supervisor's end of the channel."""

    def __init__(self) -> None:
        self.supervisor, end = Channel[ToExporter, FromExporter].pair(FROM_EXPORTER)
        self.exporter = Channel[FromExporter, ToExporter](end, TO_EXPORTER)
        self.collector = Counting()
        self.heartbeat = Resting()
        self.loop = Loop(self.exporter, self.collector, self.heartbeat)  # type: ignore[arg-type]
        self.ring = os.eventfd(0)
        self.loop._epoll.register(self.ring, select.EPOLLIN | select.EPOLLET)
        self.ended_by: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except (Closed, ValueError, DeclarationError) as error:
            self.ended_by = error

    def fill(self) -> None:
        """Wake the loop as a program does at the fill mark."""
        os.eventfd_write(self.ring, 1)

    def join(self) -> None:
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.collector.may_go_on.set()
    if running.thread.is_alive():
        running.supervisor.send(Stop())
    running.join()
    running.supervisor.close()
    running.exporter.close()
    os.close(running.ring)


def test_a_loop_that_waits_for_events_moves(running: Running) -> None:
    assert running.loop.is_alive()
    assert running.loop.is_alive()


def test_being_asked_costs_no_drain(running: Running) -> None:
    assert running.loop.is_alive()
    assert running.collector.drains == 0


def test_what_the_supervisor_says_costs_no_drain(running: Running) -> None:
    running.supervisor.send(RemoveProbe("x"))
    assert running.loop.is_alive()
    assert running.collector.removed == ["x"]
    assert running.collector.drains == 0


def test_a_fill_mark_is_a_drain(running: Running) -> None:
    running.fill()
    while not running.collector.drains:
        pass
    assert running.loop.is_alive()
    assert running.collector.drains == 1


def test_the_loop_drains_again_until_no_record_holds_up_a_ring(running: Running) -> None:
    running.collector.held_up_for = 3
    running.fill()
    until(lambda: running.collector.drains == 3, "the third drain reaches the ring's end")
    assert running.loop.is_alive()
    assert running.collector.drains == 3


def test_a_beat_is_no_drain_but_the_collection_hears_of_it(running: Running) -> None:
    running.heartbeat.due = True
    assert running.loop.is_alive()
    assert (running.heartbeat.beats, running.collector.drains, running.collector.kept_up) == (1, 0, 1)


def test_a_loop_that_hangs_in_a_drain_does_not_move(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOVES_WITHIN", 0.05)
    running.collector.may_go_on.clear()
    running.fill()
    while not running.collector.drains:
        pass
    assert not running.loop.is_alive()
    running.collector.may_go_on.set()
    monkeypatch.setattr(loop, "MOVES_WITHIN", 10.0)
    assert running.loop.is_alive()


def test_stop_is_one_more_drain_and_the_end(running: Running) -> None:
    running.supervisor.send(Stop())
    running.join()
    assert running.collector.drains == 1
    assert running.ended_by is None


def test_a_supervisor_that_is_gone_ends_it(running: Running) -> None:
    running.supervisor.close()
    running.join()
    assert isinstance(running.ended_by, Closed)


def test_status_and_removal_reach_the_collection(running: Running) -> None:
    status = Status((), "0.26", True, 1.5, 0)
    running.supervisor.send(status)
    running.supervisor.send(RemoveProbe("x"))
    running.supervisor.send(Stop())
    running.join()
    assert (running.collector.status.supervisor, running.collector.removed) == (status, ["x"])


def test_what_is_known_is_taken_before_pages_are_served() -> None:
    supervisor, end = Channel[ToExporter, FromExporter].pair(FROM_EXPORTER)
    collector = Counting()
    loop = Loop(Channel(end, TO_EXPORTER), collector, Resting())  # type: ignore[arg-type]
    for name in "abc":
        supervisor.send(RemoveProbe(name))
    supervisor.send(Serve())
    supervisor.send(RemoveProbe("later"))
    loop.prepare()
    assert collector.removed == ["a", "b", "c"]
    supervisor.close()
    end.close()


def test_a_status_is_answered_with_a_beat(running: Running) -> None:
    running.supervisor.send(Status((), "0.26", True, 1.5, 0))
    running.supervisor.send(Stop())
    running.join()
    assert running.heartbeat.beats == 1


@pytest.mark.parametrize(
    ("kind", "data"), [("Nonsense", {}), ("Status", {"probes": 1}), ("AddProbe", {}), ("ReloadEnded", {"fault": ""})]
)
def test_what_the_supervisor_would_never_say_is_no_accident(running: Running, kind: str, data: object) -> None:
    send_raw(running.supervisor, kind, data)
    running.join()
    assert isinstance(running.ended_by, ValueError | DeclarationError)


def test_a_ring_that_wakes_the_loop_begins_a_watch_for_storms(running: Running) -> None:
    running.fill()
    until(lambda: running.collector.watches == 1, "a watch has begun")
    assert running.loop.is_alive()
    assert running.collector.watches == 1


def test_a_storm_that_a_watch_found_is_told_the_supervisor(running: Running) -> None:
    wanted = WantEvidence("starts", 71, "/media.service")
    running.collector.wanted = [wanted]
    running.fill()
    assert running.supervisor.receive().message == wanted


def test_the_supervisors_report_on_evidence_reaches_the_collector(running: Running) -> None:
    report = EvidenceReport(samples=3)
    running.supervisor.send(report)
    until(lambda: running.collector.evidence == report, "the report has arrived")
