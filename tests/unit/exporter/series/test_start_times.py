# SPDX-License-Identifier: Apache-2.0
"""A series' start: before its first event, after all earlier batches, and the same under the next exporter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.exposition.family import Family
from probed.exporter.series.budget import WINDOW_SECONDS
from support.unit.clock import Clock
from support.unit.series_tables import events, ledger, metric, state, table_in

IDLE = 100.0


@pytest.fixture
def fd() -> Iterator[int]:
    with state() as fd:
        yield fd


def starts(family: Family) -> dict[str, float]:
    assert family.starts is not None
    return {"".join(labels): start for labels, start in zip(family.labels, family.starts.tolist(), strict=True)}


@pytest.mark.parametrize("kind", ["counter", "histogram"])
@given(steps=st.lists(st.lists(st.sampled_from("abcdef"), max_size=4) | st.sampled_from([1.0, IDLE, 2 * IDLE])))
def test_a_series_starts_at_the_batch_before_its_first_event(kind: str, steps: list[list[str] | float]) -> None:
    """A step is a batch of names, or a scrape after so many seconds."""
    clock, since = Clock(), Clock()
    series = table_in(ledger(), metric(kind, idle=IDLE), clock, since=since)
    expected: dict[str, float] = {}
    seen: dict[str, float] = {}
    shown: set[str] = set()
    for step in steps:
        since.now += 1
        if isinstance(step, list):
            series.add_events(events(list(step)))
            for name in step:
                expected.setdefault(name, since.now)
                seen[name] = clock.now
            shown -= set(step)
            continue
        clock.now += step
        for name in [name for name in shown if clock.now - seen[name] > IDLE]:
            del expected[name]
            shown.remove(name)
        assert starts(series.family()) == expected
        shown |= expected.keys()


def test_the_next_exporter_shows_the_same_starts(fd: int) -> None:
    since = Clock()
    before = Ledger(fd, "a")
    series = table_in(before, metric(), since=since)
    for name in "abc":
        since.now += 1
        series.add_events(events([name]))
    before.commit()
    shown = starts(series.family())
    since.now += 1
    again = table_in(Ledger(fd, "a"), metric(), since=since)
    again.add_events(events(["a", "d"]))
    assert starts(again.family()) == shown | {"d": since.now}


def test_a_label_set_that_takes_over_a_row_starts_anew(fd: int) -> None:
    clock, since = Clock(), Clock()
    series = table_in(Ledger(fd, "a"), metric(budget=2), clock, since=since)
    series.add_events(events(["a"] + ["b"] * 7))
    first = since.now
    assert starts(series.family()) == {"b": first, "other": first}
    since.now += 1
    series.add_events(events(["c"] * 100))
    clock.now += WINDOW_SECONDS
    assert starts(series.family()) == {"c": since.now, "other": first}
    since.now += 1
    series.add_events(events(["c"]))
    assert starts(series.family()) == {"c": since.now - 1, "other": first}


def test_a_metric_without_labels_starts_with_its_table() -> None:
    since = Clock()
    series = table_in(ledger(), metric(labels=False), since=since)
    first = since.now
    since.now += 1
    series.add_events(events(["a"]))
    assert starts(series.family()) == {"": first}


def test_a_row_whose_label_set_could_not_be_kept_leaves_no_start(fd: int) -> None:
    since = Clock()
    memory = Ledger(fd, "a")
    before = table_in(memory, metric(budget=3), decode=lambda name: str(name) * 1000, since=since)
    before.add_events(events(["a", "b"]))
    memory.commit()
    since.now += 1
    series = table_in(Ledger(fd, "a"), metric(budget=3), since=since)
    series.add_events(events(["c"]))
    assert starts(series.family()) == {"c": since.now, "other": since.now}
