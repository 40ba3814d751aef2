# SPDX-License-Identifier: Apache-2.0
"""The kernel's stack as folded text: the decoder `kernel_stack`.

The text is that of flame graphs: functions from the outermost to the innermost, with ";" between them. Source: Brendan
Gregg, "The Flame Graph" (Communications of the ACM 59, 6, 2016), and stackcollapse.pl. Offsets are left out, so all
places of a function are one. `kernel_symbols` has the names of the addresses.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence

from probed.exporter.decoders.kernel_symbols import KERNEL_HALF
from probed.exporter.decoders.lookup import Lookup

MOST_CHARACTERS = 1024
"""Of a stack's text, beside the mark of a cut. No name is longer than half of it: KSYM_NAME_LEN of Linux
include/linux/kallsyms.h."""

UNKNOWN = "[unknown]"
"""Stands for an address without a name, and for a stack without any."""

CUT = "[cut]"
"""Stands for outer functions that are missing."""

TRAMPOLINE = "bpf_trampoline"
"""Stands for code that runs BPF programs at a function, where other programs are; the kernel numbers them anew at each
boot."""

_ADDRESS = struct.Struct("=Q")

_RUNS_PROGRAMS = re.compile(r"bpf_prog_|bpf_trace_run\d|bpf_trampoline|__bpf_trace_|__traceiter_|__probestub_")
"""Functions between the one with the attach point and the program. The kernel and other programs at the tracepoint
decide which of them are there. Sources: Linux kernel/trace/bpf_trace.c, include/linux/tracepoint.h."""


def stack(names: Lookup) -> Callable[[int | bytes], str]:
    """Return the decoder from addresses, u64[N] with the innermost first and 0 behind the last, to folded text."""

    def decode(value: int | bytes) -> str:
        assert isinstance(value, bytes)
        addresses = _addresses(value)
        frames = [_name(names, address) for address in _calls(addresses)]
        return _folded(frames, is_full=len(addresses) * _ADDRESS.size == len(value))

    return decode


def _addresses(value: bytes) -> Sequence[int]:
    every = [address for (address,) in _ADDRESS.iter_unpack(value)]
    return every[: every.index(0)] if 0 in every else every


def _calls(addresses: Sequence[int]) -> Iterator[int]:
    """Yield an address within the call of each frame.

    All but the first are return addresses, and behind a function's last call the next function may begin. Linux
    lib/vsprintf.c does the same for %pB.
    """
    for index, address in enumerate(addresses):
        yield address - 1 if index else address


def _name(names: Lookup, address: int) -> str:
    name = (names.get(address) if address >= KERNEL_HALF else None) or UNKNOWN
    return TRAMPOLINE if name.startswith(f"{TRAMPOLINE}_") else name


def _folded(frames: Sequence[str], *, is_full: bool) -> str:
    """Join frames, the innermost first, from the outermost on; as many inner ones as the text has room for."""
    first = next((index for index, name in enumerate(frames) if not _RUNS_PROGRAMS.match(name)), len(frames))
    kept: list[str] = []
    room = MOST_CHARACTERS
    for name in frames[first:]:
        room -= len(name) + 1
        if room < 0:
            break
        kept.append(name)
    if set(kept) <= {UNKNOWN}:
        return UNKNOWN
    if is_full or room < 0:
        kept.append(CUT)
    return ";".join(reversed(kept))
