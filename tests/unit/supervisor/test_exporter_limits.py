# SPDX-License-Identifier: Apache-2.0
"""What an exporter may cost the supervisor is bounded for each minute."""

import pytest

from probed.supervisor.exporter_limits import MOST_MESSAGES, MOST_SECONDS, PERIOD, ExporterLimits
from support.unit.clock import Clock


def test_messages_up_to_the_limit_pass_each_period() -> None:
    clock = Clock()
    limits = ExporterLimits(clock)
    for _ in range(3):
        for _ in range(MOST_MESSAGES):
            limits.count_message()
        with pytest.raises(ValueError, match="more than 600 messages in 60 s"):
            limits.count_message()
        clock.now += PERIOD


def test_waits_of_a_period_share_one_limit() -> None:
    clock = Clock()
    limits = ExporterLimits(clock)
    assert limits.seconds_left() == MOST_SECONDS
    limits.count_wait(2.0)
    assert limits.seconds_left() == MOST_SECONDS - 2.0
    limits.count_wait(MOST_SECONDS)
    assert limits.seconds_left() == 0.01
    clock.now += PERIOD
    assert limits.seconds_left() == MOST_SECONDS
