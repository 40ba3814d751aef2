# SPDX-License-Identifier: Apache-2.0
"""Orders a reader's loads and stores of memory that it shares with the kernel, on the machines that probed knows.

x86-64 keeps loads in order, and stores behind earlier loads. arm64 does so only at a barrier, for which libatomic has a
function; Python has none. Source: C11, 7.17.4.1; Linux Documentation/memory-barriers.txt.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

from probed.errors import HostError

ORDERED: Final = "x86_64"
WITH_BARRIERS: Final = "aarch64"
MACHINES: Final = (ORDERED, WITH_BARRIERS)
"""Machines on which probed reads rings, as `uname -m` prints them."""

LIBATOMIC: Final = "libatomic.so.1"

_ACQUIRE_AND_RELEASE: Final = 4
"""memory_order_acq_rel of stdatomic.h."""


def barrier(machine: str = os.uname().machine) -> Callable[[], None]:
    """Return a function that keeps loads before a call in front of loads and stores after the call.

    Raises HostError on a machine that probed does not know, and without libatomic where one is needed.
    """
    if machine == ORDERED:
        return _nothing
    if machine != WITH_BARRIERS:
        raise HostError(f"probed reads rings on {' and '.join(MACHINES)} only, this is {machine}")
    try:
        fence = ctypes.CDLL(LIBATOMIC).atomic_thread_fence
    except OSError as error:
        raise HostError(
            f"{LIBATOMIC}, which orders loads, cannot be loaded ({error}): apt install libatomic1"
        ) from error
    fence.argtypes, fence.restype = (ctypes.c_int,), None
    return lambda: fence(_ACQUIRE_AND_RELEASE)


def _nothing() -> None:
    pass
