# SPDX-License-Identifier: Apache-2.0
"""A failed look-up is retried: a new user, device or interface has its name after a bounded time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from probed.exporter.decoders import Context, decoder, lookup
from probed.exporter.decoders.lookup import LONGEST_RETRY_SECONDS, RETRY_SECONDS, Lookup, Lookups
from probed.exporter.series.table import SeriesTable
from probed.ipc.manifest import ResolvedLabel, ResolvedMetric
from support.unit.clock import Clock
from support.unit.series_tables import FIELDS, events, ledger, shown


def test_a_number_that_gets_a_name_is_found_at_the_next_retry_and_once() -> None:
    clock, names = Clock(), dict[int, str]()
    users = Lookup(names.get, clock)
    assert users.get(7) is None
    names[7] = "seven"
    assert not users.found_missed()
    clock.now += RETRY_SECONDS
    assert [users.found_missed(), users.found_missed()] == [True, False]
    assert users.get(7) == "seven"
    clock.now += LONGEST_RETRY_SECONDS
    assert not users.found_missed()


def test_a_number_that_never_gets_a_name_is_tried_ever_more_rarely_and_at_least_every_ten_minutes() -> None:
    clock, tried = Clock(), list[float]()

    def find(_: int) -> None:
        tried.append(clock.now)

    users = Lookup(find, clock)
    users.get(7)
    for _ in range(3600):
        clock.now += 1
        assert not users.found_missed()
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]


def test_a_host_without_failed_look_ups_is_asked_for_nothing() -> None:
    clock, tried = Clock(), list[int]()

    def find(number: int) -> str:
        tried.append(number)
        return "a"

    users = Lookup(find, clock)
    users.get(7)
    clock.now += LONGEST_RETRY_SECONDS
    assert (users.found_missed(), tried) == (False, [7])


def test_of_too_many_numbers_without_a_name_all_text_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MOST_MISSED", 2)
    clock, names = Clock(), dict[int, str]()
    users = Lookup(names.get, clock)
    assert [users.get(number) for number in (1, 2, 3)] == [None] * 3
    names[3] = "three"
    clock.now += RETRY_SECONDS
    assert users.found_missed()


def test_labels_of_one_host_share_a_look_up(tmp_path: Path) -> None:
    lookups, made = Lookups(tmp_path), list[Path]()

    def names(root: Path) -> lookup.Find:
        made.append(root)
        return dict[int, str]().get

    assert lookups.of(names) is lookups.of(names)
    assert made == [tmp_path]


def add_user(root: Path) -> str:
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("late:x:7:7::/:/bin/sh\n")
    return "late"


def add_interface(root: Path) -> str:
    folder = root / "sys/class/net/late0"
    folder.mkdir(parents=True)
    (folder / "ifindex").write_text("7\n")
    return "late0"


def add_device(root: Path) -> str:
    folder = root / "sys/dev/block"
    folder.mkdir(parents=True)
    (folder / "0:7").symlink_to("../../block/late1")
    return "late1"


@pytest.mark.parametrize(
    ("name", "add", "before"),
    [
        ("uid", add_user, "7"),
        ("network_interface", add_interface, "ifindex:7"),
        ("block_device", add_device, "0:7"),
    ],
)
def test_a_series_of_later_has_the_name_that_came_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, add: object, before: str
) -> None:
    clock = Clock()
    monkeypatch.setattr("probed.exporter.decoders.host_table.ANEW_SECONDS", 0.0)
    lookups = Lookups(tmp_path, clock)
    label = ResolvedLabel("x", "kind", name, {})
    of = ResolvedMetric("probed_x_total", "counter", "Help.", (), {}, (label,), None, 1.0, ())
    context = Context(lambda _: None, lookups)  # type: ignore[arg-type,return-value]
    series = SeriesTable(of, [(FIELDS[2], decoder(label, context))], ledger(), clock)
    batch = events(["a", "b", "c"])
    batch["kind"] = 7
    series.add_events(batch)
    assert shown(series.family()) == {before: 3}
    after = add(tmp_path)  # type: ignore[operator]
    series.add_events(batch)
    assert shown(series.family()) == {before: 6}
    clock.now += RETRY_SECONDS
    assert lookups.found_missed()
    series.forget_keys()
    series.add_events(batch)
    assert shown(series.family()) == {before: 6, after: 3}
