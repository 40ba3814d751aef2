# SPDX-License-Identifier: Apache-2.0
"""A fault that repeats does not flood the journal."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from probed.log_limiter import MOST_TEXTS, PERIOD, REPEATABLE, LogLimiter
from support.unit.clock import Clock

LOG = logging.getLogger("test")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def limiter(clock: Clock, caplog: pytest.LogCaptureFixture) -> Iterator[LogLimiter]:
    """Limits what the test's log handler takes."""
    caplog.set_level(logging.INFO)
    limiter = LogLimiter(clock)
    caplog.handler.addFilter(limiter)
    yield limiter
    caplog.handler.removeFilter(limiter)


def fault(text: str) -> None:
    LOG.error("%s", text, exc_info=True, extra=REPEATABLE)


def test_the_same_text_comes_once_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for clock.now in (0, 1, PERIOD - 1, PERIOD, PERIOD + 1):
        fault("100 % wrong")
    assert caplog.messages == ["100 % wrong"] * 2


def test_different_texts_all_come(caplog: pytest.LogCaptureFixture) -> None:
    fault("a")
    fault("b")
    assert caplog.messages == ["a", "b"]


def test_a_line_without_the_mark_always_comes(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        LOG.info("drained")
    assert caplog.messages == ["drained"] * 3


def test_even_new_texts_are_bounded(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5 * MOST_TEXTS):
        fault(f"text {number}")
    assert len(caplog.records) == MOST_TEXTS
    clock.now += PERIOD
    fault("later")
    assert caplog.messages[-1] == "later"


def test_one_call_that_logs_too_much_takes_no_room_of_another(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5 * MOST_TEXTS):
        fault(f"text {number}")
    LOG.error("another fault", extra=REPEATABLE)
    assert caplog.messages[-1] == "another fault"


def test_the_traceback_and_the_repetitions_are_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    for level in (logging.INFO, logging.DEBUG):
        caplog.set_level(level)
        for _ in range(2):
            try:
                raise ValueError("x")
            except ValueError:
                LOG.error("fact %s", level, exc_info=True, extra=REPEATABLE)
    assert [(r.levelname, bool(r.exc_info)) for r in caplog.records] == [
        ("ERROR", False), ("ERROR", True), ("DEBUG", True),
    ]  # fmt: skip
