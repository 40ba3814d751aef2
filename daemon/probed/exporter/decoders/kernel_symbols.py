# SPDX-License-Identifier: Apache-2.0
"""Names of kernel addresses: the decoder `kernel_symbol`; `kernel_stacks` uses them too.

Addresses have names where the kernel shows its addresses to every process (kernel.kptr_restrict 0 and
kernel.perf_event_paranoid at most 1; Linux kernel/ksyms_common.c, kallsyms_show_value): the exporter has no privilege,
and a privilege to read addresses would help an intruder. Elsewhere an address is `unknown`: a number would tell every
reader of the page where the kernel is.
"""

from __future__ import annotations

import logging
import os
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.lookup import Find, Lookup

LOG = logging.getLogger("exporter")

KERNEL_HALF = 1 << 63
"""The first address of the kernel on 64-bit machines; below are addresses of processes and offsets into per-CPU
memory."""

LONGEST = 1 << 20
"""No function is longer: an address further behind a symbol is in a gap."""

REMEMBERED = 1 << 12
"""Addresses whose names are kept as text: a stack has many addresses, and stacks have most of them in common."""

ANEW_SECONDS = 60.0
"""An unknown address makes the exporter read the symbols again, at most this often: modules come and go."""


class KernelSymbols:
    """Symbols by address, some 8 MB for 150,000; none are read before the first look-up."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Open /proc/kallsyms. Where the open fails, no address has a name."""
        self._clock = clock
        self._fd: int | None = None
        try:
            self._fd = os.open(root / "proc/kallsyms", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            LOG.info("kernel addresses will have no names: %s", error)
        self._starts, self._names = array("Q"), array("I")
        self._text = bytearray()
        self._find = lru_cache(REMEMBERED)(self._search)
        self._read_at = -ANEW_SECONDS

    def name(self, address: int) -> str | None:
        """Return the symbol of the function around an address, without the module; None where no symbol is known."""
        found = self._find(address)
        if found is None and address >= KERNEL_HALF and self._clock() - self._read_at >= ANEW_SECONDS:
            self._read_at = self._clock()
            try:
                self._read()
            except OSError as error:
                LOG.warning("kernel symbols cannot be read: %s; the exporter tries again in a minute or later", error)
            found = self._find(address)
        return found

    def _search(self, address: int) -> str | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address - self._starts[index] >= LONGEST:
            return None
        start = self._names[index]
        return text(bytes(self._text[start : self._text.index(b"\0", start)]))

    def _read(self) -> None:
        """Read every symbol. One address may have several; the first that the kernel lists counts."""
        import numpy as np  # 0.1 s for a tail, which imports the module for other decoders

        starts, names, texts = array("Q"), array("I"), bytearray()
        for address, name in self._symbols():
            starts.append(address)
            names.append(len(texts))
            texts += name + b"\0"
        unique, first = np.unique(np.frombuffer(starts, np.uint64), return_index=True)
        self._starts = array("Q", unique.tobytes())
        self._names, self._text = array("I", np.frombuffer(names, np.uint32)[first].tobytes()), texts
        self._find.cache_clear()

    def _symbols(self) -> Iterator[tuple[int, bytes]]:
        """Yield address and name of symbols; the kernel shows all addresses as 0 to a reader without permission."""
        if self._fd is None:
            return
        os.lseek(self._fd, 0, os.SEEK_SET)
        with open(self._fd, "rb", closefd=False) as lines:
            for line in lines:
                address, _, name = line.split(None, 3)[:3]
                if (number := int(address, 16)) >= KERNEL_HALF:
                    yield number, name


def symbol_names(root: Path) -> Find:
    """Return the look-up of kernel functions' names by address."""
    return KernelSymbols(root).name


def symbol(names: Lookup) -> Callable[[int | bytes], str]:
    """Return the decoder from an address to its symbol: `unknown` without one, a number below the kernel's half."""

    def decode(value: int | bytes) -> str:
        address = int(value) & 0xFFFFFFFFFFFFFFFF
        if address < KERNEL_HALF:
            return hex(address)
        return names.get(address) or "unknown"

    return decode
