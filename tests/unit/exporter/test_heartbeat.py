# SPDX-License-Identifier: Apache-2.0
"""The exporter's heartbeat: when it is sent, its content, and the log lines about lost events."""

import logging
from collections.abc import Iterator

import pytest

from probed.exporter.collection.served_status import ServedStatus
from probed.exporter.heartbeat import LOOK_AGAIN, LOSS_PERIOD, Heartbeat, Losses
from probed.exporter.self_metrics.probes import ProbeStats
from probed.exporter.series.table import SeriesUsage
from probed.ipc.channel import Channel
from probed.ipc.exporter_messages import FROM_EXPORTER, TO_EXPORTER, FromExporter, Pulse, Status, ToExporter
from support.unit.clock import Clock

SECONDS = 10.0


class Standing:
    """Stands for the HTTP server."""

    def __init__(self) -> None:
        self.pokes = 0
        self.moves = True

    def ping(self) -> None:
        self.pokes += 1

    def responded(self) -> bool:
        return self.moves


class Sums:
    """Stands for the collection."""

    def __init__(self) -> None:
        self.status = ServedStatus()
        for name in "abcde":
            self.status.leave_out(name, "Text.")

    def loss_summary(self) -> list[ProbeStats]:
        return [numbers("a", ring_full=3), numbers("b", ring_full=4, map_full=5)]


def numbers(name: str, **lost: int) -> ProbeStats:
    return ProbeStats(name, lost=lost, usages=(SeriesUsage("m", 7, 10, 0), SeriesUsage("n", 11, 20, 0)))


class Beating:
    def __init__(self) -> None:
        self.supervisor, end = Channel[ToExporter, FromExporter].pair(FROM_EXPORTER)
        self.exporter = Channel[FromExporter, ToExporter](end, TO_EXPORTER)
        self.supervisor.set_timeout(0.0)
        self.clock, self.server, self.sums = Clock(), Standing(), Sums()
        self.heartbeat = Heartbeat(self.exporter, self.sums, self.server, SECONDS, self.clock)  # type: ignore[arg-type]

    def heard(self) -> Pulse | None:
        try:
            message = self.supervisor.receive().message
        except BlockingIOError:
            return None
        assert isinstance(message, Pulse)
        return message


@pytest.fixture
def beating() -> Iterator[Beating]:
    beating = Beating()
    yield beating
    beating.supervisor.close()
    beating.exporter.close()


def test_the_first_beat_is_due_at_once_and_the_next_after_its_time(beating: Beating) -> None:
    assert beating.heartbeat.due_in() == 0.0
    beating.heartbeat.send()
    assert beating.heartbeat.due_in() == SECONDS
    beating.clock.now += SECONDS + 1
    assert beating.heartbeat.due_in() == 0.0


def test_a_beat_tells_the_sums_of_all_probes(beating: Beating) -> None:
    beating.heartbeat.send()
    assert beating.heard() == Pulse(informed=False, series=36, lost=12, left_out=5)


def test_a_beat_tells_that_a_scrape_would_tell_the_truth(beating: Beating) -> None:
    beating.sums.status.supervisor = Status((), "", True, 0.0, 0)
    beating.heartbeat.send()
    heard = beating.heard()
    assert heard is not None
    assert heard.informed


def test_a_server_that_stands_still_is_no_sign_of_life_and_is_looked_at_again_soon(beating: Beating) -> None:
    beating.server.moves = False
    beating.heartbeat.send()
    assert (beating.heard(), beating.heartbeat.due_in(), beating.server.pokes) == (None, LOOK_AGAIN, 1)
    beating.server.moves = True
    beating.heartbeat.send()
    assert (beating.heard() is None, beating.heartbeat.due_in(), beating.server.pokes) == (False, SECONDS, 2)


def test_a_hastened_beat_is_due_now(beating: Beating) -> None:
    beating.heartbeat.send()
    beating.heartbeat.send_now()
    assert beating.heartbeat.due_in() == 0.0


def said(losses: Losses, caplog: pytest.LogCaptureFixture, *each: ProbeStats) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        losses.tell(each)
    return [record.getMessage() for record in caplog.records]


def test_nothing_lost_is_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    assert said(Losses(Clock()), caplog, numbers("a", ring_full=0)) == []


def test_lost_events_are_said_with_their_probe_and_their_reasons(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = said(Losses(Clock()), caplog, numbers("a", ring_full=3, map_full=0, corrupt=2))
    assert line.startswith("probe 'a': 5 events lost (3 ring_full, 2 corrupt), 5 in all")
    assert caplog.records[0].__dict__["PROBE"] == "a"


def test_more_losses_are_said_once_a_minute_and_only_the_new_ones_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses(clock)
    said(losses, caplog, numbers("a", ring_full=3))
    assert said(losses, caplog, numbers("a", ring_full=5)) == []
    clock.now += LOSS_PERIOD
    (line,) = said(losses, caplog, numbers("a", ring_full=10))
    assert line.startswith("probe 'a': 7 events lost (7 ring_full), 10 in all")
    clock.now += LOSS_PERIOD
    assert said(losses, caplog, numbers("a", ring_full=10)) == []


def test_a_probe_that_was_loaded_anew_counts_from_0(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses(clock)
    said(losses, caplog, numbers("a", ring_full=100))
    clock.now += LOSS_PERIOD
    (line,) = said(losses, caplog, numbers("a", ring_full=2))
    assert line.startswith("probe 'a': 2 events lost (2 ring_full), 2 in all")
