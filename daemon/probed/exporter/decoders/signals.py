# SPDX-License-Identifier: Apache-2.0
"""Names of signals: the decoder `signal`. Pure."""

from __future__ import annotations

import signal


def signal_name(value: int | bytes) -> str:
    """Return the name of a signal: ``SIGKILL``, ``SIGRTMIN+3``; ``signal_N`` without a name, ``none`` for 0.

    Source: signal(7).
    """
    number = int(value)
    if not number:
        return "none"
    try:
        return signal.Signals(number).name
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        return f"signal_{number}"
