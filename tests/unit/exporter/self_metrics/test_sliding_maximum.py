# SPDX-License-Identifier: Apache-2.0
"""The maximum of the last five minutes, the same for every scraper."""

from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.self_metrics.sliding_maximum import STEP_SECONDS, WINDOW_SECONDS, SlidingMaximum
from support.unit.clock import Clock


def test_two_scrapers_read_the_same_maximum() -> None:
    maximum = SlidingMaximum(Clock())
    for value in (7, 4001, 11):
        maximum.add(value)
    assert (maximum.value(), maximum.value()) == (4001, 4001)


def test_the_maximum_is_0_without_samples_and_after_the_window() -> None:
    clock = Clock()
    maximum = SlidingMaximum(clock)
    assert maximum.value() == 0
    maximum.add(4001)
    clock.now += WINDOW_SECONDS
    assert maximum.value() == 4001
    clock.now += STEP_SECONDS
    assert maximum.value() == 0


@given(st.lists(st.tuples(st.integers(0, 97), st.integers(0, 4001)), max_size=101))
def test_the_maximum_is_that_of_all_samples_of_the_window(samples: list[tuple[int, int]]) -> None:
    clock, taken = Clock(), list[tuple[int, int]]()
    maximum = SlidingMaximum(clock)
    for seconds, value in samples:
        clock.now += seconds
        maximum.add(value)
        taken.append((int(clock.now // STEP_SECONDS), value))
        oldest = int(clock.now // STEP_SECONDS) - WINDOW_SECONDS // STEP_SECONDS
        assert maximum.value() == max(value for step, value in taken if step >= oldest)
        assert len(maximum._samples) <= WINDOW_SECONDS // STEP_SECONDS + 1
