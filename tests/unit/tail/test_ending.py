# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM end a tail between two batches; the second signal interrupts."""

from __future__ import annotations

import select
import signal

import pytest

from probed.tail.ending import SIGNALS, ending


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_wish_and_the_second_interrupts(number: signal.Signals) -> None:
    with ending() as end:
        assert not end.is_wanted
        signal.raise_signal(number)
        assert end.is_wanted
        assert select.select([end.fd], [], [], 0)[0] == [end.fd]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_the_former_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with ending():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
