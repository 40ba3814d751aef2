# SPDX-License-Identifier: Apache-2.0
"""The supervisor bounds samples by unit, number and time, and survives any sampler."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from probed.evidence import sampler
from probed.evidence.sample_budget import SampleBudget
from probed.evidence.sampler import SECONDS, EvidenceSampler
from probed.ipc.channel import Channel
from probed.ipc.evidence_messages import (
    FROM_SAMPLER,
    EvidenceFailed,
    EvidenceReport,
    EvidenceSettings,
    EvidenceTaken,
    FromSampler,
    TakeEvidence,
    ToSampler,
    WantEvidence,
)
from probed.ipc.loader_messages import Files, Settings
from probed.webconfig.options import WebOptions
from support.unit.clock import Clock
from support.unit.raw_messages import send_raw

EVIDENCE = EvidenceSettings({"starts": 100.0}, rows=50, interval=600.0, units=2, redact=(), redact_defaults=True)
SETTINGS = Settings(WebOptions(), None, "info", "logfmt", {})
FILES = Files("probed.yaml", "vmlinux", "core")


def storm(unit: str = "media.service") -> WantEvidence:
    return WantEvidence("starts", 71, f"/system.slice/{unit}")


class PlayedSampler:
    """Stands for the sampler process; the test speaks for it."""

    def __init__(self) -> None:
        self.channel, theirs = Channel[ToSampler, FromSampler].pair(FROM_SAMPLER)
        self.theirs = Channel[FromSampler, ToSampler](theirs, [TakeEvidence])
        self.killed = self.reaped = False

    def kill(self) -> None:
        self.killed = True

    def reap(self, _: float) -> str:
        self.channel.close()
        self.reaped = True
        return ""


class Supervised:
    """An EvidenceSampler, the played processes that it started, and its last report."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.started: list[PlayedSampler] = []
        self.told: list[EvidenceReport] = []
        self.sampler = EvidenceSampler(EVIDENCE, SETTINGS, FILES, self.told.append, clock)

    def start(self, *_: object) -> PlayedSampler:
        self.started.append(PlayedSampler())
        return self.started[-1]

    def answer(self, message: FromSampler) -> None:
        self.started[-1].theirs.send(message)
        self.sampler.step()


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    one = Supervised(Clock())
    monkeypatch.setattr(sampler, "Child", one.start)
    yield one
    one.sampler.close()
    for each in one.started:
        each.theirs.close()
        each.channel.close()


def test_a_sampler_gets_the_storm_with_the_settings(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    asked = supervised.started[0].theirs.receive().message
    assert asked == TakeEvidence(storm(), EVIDENCE, "probed.yaml", "vmlinux", "core", "info", "logfmt")


def test_a_sample_is_told_with_its_unit_and_rows(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    supervised.answer(EvidenceTaken("media.service", 50))
    (report,) = supervised.told
    assert report.latest is not None
    assert (report.samples, report.rows, report.failures) == (1, 50, 0)
    assert (report.latest.unit, report.latest.rule, report.latest.rows) == ("media.service", "starts", 50)
    assert supervised.started[0].reaped
    assert supervised.sampler.deadline is None


def test_a_storm_while_a_sample_is_taken_is_suppressed(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    supervised.sampler.want(storm("other.service"))
    assert len(supervised.started) == 1
    assert supervised.told[-1].suppressed == {"busy": 1, "unit": 0, "units": 0}


def test_a_unit_has_one_sample_in_an_interval(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    supervised.answer(EvidenceTaken("media.service", 50))
    supervised.clock.now += EVIDENCE.interval - 1
    supervised.sampler.want(storm())
    assert supervised.told[-1].suppressed == {"busy": 0, "unit": 1, "units": 0}
    supervised.clock.now += 1
    supervised.sampler.want(storm())
    assert len(supervised.started) == 2


def test_a_failed_sample_counts_for_the_unit_and_is_logged(
    supervised: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    supervised.sampler.want(storm())
    supervised.answer(EvidenceFailed("there is no BCC"))
    supervised.sampler.want(storm())
    assert len(supervised.started) == 1
    assert (supervised.told[-1].failures, supervised.told[-1].samples) == (1, 0)
    assert "no evidence of a storm: there is no BCC" in caplog.text


def test_a_sampler_that_sends_nonsense_is_killed(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    send_raw(supervised.started[0].theirs, "EvidenceTaken", {"argv": "x"})
    supervised.sampler.step()
    assert supervised.started[0].killed
    assert supervised.told[-1].failures == 1


def test_a_sampler_that_dies_costs_one_sample(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    supervised.started[0].theirs.close()
    supervised.sampler.step()
    assert supervised.told[-1].failures == 1
    assert supervised.sampler.child is None


def test_a_sampler_past_the_deadline_is_killed(supervised: Supervised) -> None:
    supervised.sampler.want(storm())
    supervised.sampler.on_clock(supervised.clock.now + SECONDS - 1)
    assert not supervised.started[0].killed
    supervised.sampler.on_clock(supervised.clock.now + SECONDS)
    assert supervised.started[0].killed
    assert supervised.told[-1].failures == 1


def test_a_sampler_that_cannot_start_costs_one_sample(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> PlayedSampler:
        raise OSError(11, os.strerror(11))

    monkeypatch.setattr(sampler, "Child", refuse)
    supervised.sampler.want(storm())
    assert supervised.told[-1].failures == 1
    assert supervised.sampler.child is None


def in_cgroup(number: int, path: str) -> WantEvidence:
    return WantEvidence("starts", number, path)


def test_a_budget_lets_so_many_units_through_and_forgets_after_the_interval() -> None:
    budget, a, b, c = SampleBudget(EVIDENCE), in_cgroup(2, "/a"), in_cgroup(3, "/b"), in_cgroup(5, "/c")
    for now, wanted in ((0.0, a), (300.0, b)):
        assert budget.refusal(wanted, now) is None
        budget.spend(wanted, now)
    assert budget.refusal(c, 599.0) == "units"
    assert budget.refusal(a, 599.0) == "unit"
    assert budget.refusal(c, 600.0) is None
    assert budget.refusal(b, 600.0) == "unit"


def test_a_budget_knows_a_cgroup_by_another_path_and_a_unit_by_another_cgroup() -> None:
    budget = SampleBudget(EVIDENCE)
    budget.spend(in_cgroup(2, "/machine/a.service"), 0.0)
    assert budget.refusal(in_cgroup(2, "/a.service"), 1.0) == "unit"
    assert budget.refusal(in_cgroup(3, "/machine/a.service"), 1.0) == "unit"
    assert budget.refusal(in_cgroup(3, "/b.service"), 1.0) is None
