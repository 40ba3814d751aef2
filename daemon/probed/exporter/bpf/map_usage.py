# SPDX-License-Identifier: Apache-2.0
"""How full the probes' hash maps are, including maps that no metric reads, such as notes of programs in flight.

`probe` has one `HashMap` for each of these, and asks at the scrape; `self_metrics.maps` has the metrics. Only keys are
counted: their content does not matter here.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable

from probed.frozen import frozen
from probed.linux import bpf

COUNT_SECONDS = 10.0
"""A map is counted no more often than this: one with 65,536 entries takes 3 ms, one with 300 of them 0.05 ms."""

CHUNK = 256
"""Entries read at once; the kernel fails with ENOSPC at a bucket with more, where some ten are many.

Room for 4,096 entries of all maps of the shipped probes was 4 MB, new pages at each count, which took 1.2 ms.
"""

PERCPU = (5, 10)
"""BPF_MAP_TYPE_PERCPU_HASH and BPF_MAP_TYPE_LRU_PERCPU_HASH of Linux include/uapi/linux/bpf.h."""

_INFO = struct.Struct("=IIIII")  # struct bpf_map_info: type, id, key_size, value_size, max_entries


@frozen
class HashUsage:
    """The number of entries of a hash map, and the most that fit."""

    name: str
    entries: int
    capacity: int


class HashMap:
    """One hash map with values of any type. Raises OSError."""

    def __init__(self, name: str, fd: int, cpus: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._fd = fd
        self._clock = clock
        kind, _, key_size, value_size, self._capacity = bpf.object_info(fd, _INFO)
        width = (value_size + 7) // 8 * 8 * cpus if kind in PERCPU else value_size
        self._key_size, self._value_size = key_size, width
        self._usage = HashUsage(name, 0, self._capacity)
        self._due = clock()

    def usage(self) -> HashUsage:
        """Return the usage of now or of at most `COUNT_SECONDS` ago. Raises OSError."""
        if self._clock() >= self._due:
            self._usage = HashUsage(self._name, self._count(), self._capacity)
            self._due = self._clock() + COUNT_SECONDS
        return self._usage

    def _count(self) -> int:
        """Walk the map bucket by bucket: entries that stay meanwhile are counted once, others once or not at all."""
        keys, values = bytearray(CHUNK * self._key_size), bytearray(CHUNK * self._value_size)
        key, value = (ctypes.addressof((ctypes.c_char * len(each)).from_buffer(each)) for each in (keys, values))
        found, ended, position = 0, False, bpf.BatchPosition()
        while not ended:
            count, ended = bpf.lookup_batch(self._fd, position, key, value, CHUNK)
            found += count
        return found
