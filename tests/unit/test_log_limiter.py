# SPDX-License-Identifier: Apache-2.0
"""A fault that repeats does not flood the journal."""

from __future__ import annotations

import logging

import pytest

from probed.log_limiter import MOST, PERIOD, Seldom
from support.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seldom(clock: Clock, caplog: pytest.LogCaptureFixture) -> Seldom:
    caplog.set_level(logging.INFO)
    return Seldom(logging.getLogger("test"), clock)


def test_the_same_text_comes_once_a_minute(seldom: Seldom, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for clock.now in (0, 1, PERIOD - 1, PERIOD, PERIOD + 1):
        seldom.log(logging.ERROR, "100 % wrong")
    assert [record.getMessage() for record in caplog.records] == ["100 % wrong"] * 2


def test_different_texts_all_come(seldom: Seldom, caplog: pytest.LogCaptureFixture) -> None:
    seldom.log(logging.ERROR, "a")
    seldom.log(logging.WARNING, "b")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("ERROR", "a"), ("WARNING", "b")]


def test_even_new_texts_are_bounded(seldom: Seldom, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5 * MOST):
        seldom.log(logging.ERROR, f"text {number}")
    assert len(caplog.records) == MOST
    clock.now += PERIOD
    seldom.log(logging.ERROR, "later")
    assert caplog.messages[-1] == "later"


def test_the_traceback_is_for_debugging(seldom: Seldom, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    try:
        raise ValueError("x")
    except ValueError:
        seldom.log(logging.ERROR, "fact")
    assert [(r.levelname, bool(r.exc_info)) for r in caplog.records] == [("DEBUG", True), ("ERROR", False)]
