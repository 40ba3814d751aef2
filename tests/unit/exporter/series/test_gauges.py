# SPDX-License-Identifier: Apache-2.0
"""Gauges show the present values of maps, added up by label set, within the budget."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from probed.exporter.arrays.dtypes import dtype
from probed.exporter.exposition.renderer import Page
from probed.exporter.series import gauges as gauges_module
from probed.exporter.series import key_cache
from probed.exporter.series.gauges import GaugeTable
from probed.exporter.series.key_cache import Allowance
from probed.exporter.series.table import SeriesUsage
from probed.ipc.manifest import Field, Record, ResolvedLabel, ResolvedMetric
from support.unit.clock import Clock

NUMBER = Field("number", "u32", 0, 1)
KEY = Record(4, (NUMBER,))

Holding = dict[int, int]
"""The values of a map by key."""


def metric(
    budget: int = 100, *, name: str = "probed_levels", factor: float = 1.0, labels: bool = True
) -> ResolvedMetric:
    of = (ResolvedLabel("last", "number", "integer", {}),) if labels else ()
    return ResolvedMetric(name, "gauge", "Levels.", ("levels",), {}, of, "value", factor, (), budget)


def last_digit(value: int | bytes) -> str | None:
    """Return the last digit of a number; drop numbers from 90 on."""
    return str(int(value) % 10) if int(value) < 90 else None


def table(of: ResolvedMetric) -> GaugeTable:
    return GaugeTable(of, [(NUMBER, last_digit)] if of.labels else [])


def part(holding: Holding, kind: type = np.int64) -> tuple[NDArray[Any], NDArray[Any]]:
    keys = np.zeros(len(holding), dtype(KEY))
    keys["number"] = list(holding)
    return keys, np.array(list(holding.values()), kind)


def shown(gauge: GaugeTable) -> dict[str, int]:
    family = gauge.family()
    assert len(set(family.labels)) == len(family.labels)
    return {labels[0]: value for labels, value in zip(family.labels, family.values.tolist(), strict=True)}


def sums(holdings: list[Holding]) -> dict[str, int]:
    expected: dict[str, int] = defaultdict(int)
    for holding in holdings:
        for number, value in holding.items():
            if (label := last_digit(number)) is not None:
                expected[label] += value
    return dict(expected)


holdings = st.dictionaries(st.integers(0, 99), st.integers(-(2**40), 2**40), max_size=30)


@given(st.integers(1, 12), st.lists(st.lists(holdings, min_size=1, max_size=2), max_size=5))
def test_pages_agree_with_adding_up_entry_by_entry(budget: int, readings: list[list[Holding]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gauges_module, "LEAST_KEYS", 4)
        gauge = table(metric(budget))
        for reading in readings:
            gauge.set(map(part, reading))
            page, expected = shown(gauge), sums(reading)
            other = page.pop("other", None)
            assert len(page) == min(len(expected), budget - 1)
            assert page.items() <= expected.items()
            if len(expected) < budget:
                assert other is None
            else:
                assert other == sum(value for label, value in expected.items() if label not in page)


def test_a_series_leaves_with_its_last_entry() -> None:
    gauge = table(metric())
    gauge.set([part({3: 7, 13: 11, 4: 5})])
    assert shown(gauge) == {"3": 18, "4": 5}
    gauge.set([part({13: 11, 4: 0})])
    assert shown(gauge) == {"3": 11, "4": 0}
    gauge.set([part({})])
    assert shown(gauge) == {}


def test_a_page_does_not_change_with_the_next_reading() -> None:
    gauge = table(metric())
    gauge.set([part({3: 7})])
    before = gauge.family()
    gauge.set([part({3: 8})])
    assert before.values.tolist() == [7]


def test_values_of_several_maps_are_added_up() -> None:
    gauge = table(metric())
    gauge.set([part({3: 7, 4: -2}), part({3: -10})])
    assert shown(gauge) == {"3": -3, "4": -2}


def test_without_labels_there_is_one_series_always() -> None:
    gauge = table(metric(labels=False, budget=1))
    assert gauge.family().values.tolist() == [0]
    gauge.set([part({3: 7, 4: 5})])
    assert (gauge.family().labels, gauge.family().values.tolist()) == (((),), [12])
    gauge.set([part({})])
    assert gauge.family().values.tolist() == [0]


def test_unsigned_values_have_64_bits() -> None:
    gauge = table(metric())
    gauge.set([part({3: 2**64 - 1}, np.uint64)])
    assert shown(gauge) == {"3": 2**64 - 1}


def test_the_largest_have_the_series_whatever_their_sign() -> None:
    gauge = table(metric(budget=3))
    gauge.set([part({1: 5, 2: -100, 3: 40, 4: 6})])
    assert shown(gauge) == {"2": -100, "3": 40, "other": 11}
    assert gauge.usage() == SeriesUsage("probed_levels", 3, 3, 0, 0)


def test_a_series_is_kept_until_another_has_more_than_twice_its_value() -> None:
    gauge = table(metric(budget=2))
    gauge.set([part({1: 10, 2: 9})])
    assert shown(gauge) == {"1": 10, "other": 9}
    gauge.set([part({1: 10, 2: 20})])
    assert shown(gauge) == {"1": 10, "other": 20}
    gauge.set([part({1: 10, 2: 21})])
    assert shown(gauge) == {"2": 21, "other": 10}
    gauge.set([part({1: 10})])
    assert shown(gauge) == {"1": 10}


def test_a_label_that_reads_other_stands_beside_the_rest() -> None:
    of = ResolvedMetric(
        "probed_levels",
        "gauge",
        "Levels.",
        ("levels",),
        {},
        (ResolvedLabel("x", "x", "comm", {}),),
        "value",
        1.0,
        (),
        2,
    )
    gauge = GaugeTable(of, [(NUMBER, lambda value: "other" if value == 1 else str(value))])
    gauge.set([part({1: 100, 2: 3, 4: 5})])
    assert shown(gauge) == {"\\other": 100, "other": 8}


def test_text_is_made_once_a_key_until_it_is_to_be_made_anew() -> None:
    asked: list[int | bytes] = []

    def decode(value: int | bytes) -> str:
        asked.append(value)
        return f"{value!r} of {len(asked)}"

    gauge = GaugeTable(metric(), [(NUMBER, decode)])
    for _ in range(2):
        gauge.set([part({7: 1})])
    assert shown(gauge) == {"7 of 1": 1}
    gauge.forget_keys()
    gauge.set([part({7: 1})])
    assert shown(gauge) == {"7 of 2": 1}


def test_values_of_new_keys_beyond_the_allowance_count_in_other_until_it_suffices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_cache, "BURST_KEYS", 5)
    monkeypatch.setattr(key_cache, "LEAST_KEYS_A_BATCH", 1)
    gauge = GaugeTable(metric(), [(NUMBER, last_digit)], Allowance(Clock()))
    reading = part({1: 7, 2: 11, 3: 13, 4: 17, 95: 1_000, 5: 19, 96: 1_000})
    gauge.set([reading])
    assert shown(gauge) == {"1": 7, "2": 11, "3": 13, "4": 17, "other": 1_019}
    gauge.set([reading])
    assert shown(gauge) == {"1": 7, "2": 11, "3": 13, "4": 17, "5": 19, "other": 1_000}
    gauge.set([reading])
    assert shown(gauge) == {"1": 7, "2": 11, "3": 13, "4": 17, "5": 19}


def test_a_unit_becomes_the_base_unit() -> None:
    gauge = table(metric(name="probed_levels_bytes", factor=1024.0))
    gauge.set([part({3: 7, 4: -1})])
    assert gauge.family().values.tolist() == [7168.0, -1024.0]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_page_with_a_gauge_reads_like_this(openmetrics: bool) -> None:
    gauge = table(metric())
    gauge.set([part({3: 7, 4: -2_000_000})])
    assert Page().render([gauge.family()], openmetrics=openmetrics).decode().removesuffix("# EOF\n") == (
        "# HELP probed_levels Levels.\n"
        "# TYPE probed_levels gauge\n"
        'probed_levels{last="3"} 7.0\n'
        'probed_levels{last="4"} -2000000.0\n'
    )
