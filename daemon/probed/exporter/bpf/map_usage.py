# SPDX-License-Identifier: Apache-2.0
"""How full the probes' hash maps are, including maps that no metric reads, such as notes of programs in flight.

`probe` has one `HashMap` for each map without a metric, and counts the keys at the scrape. Values are never read.
"""

from __future__ import annotations

import ctypes
import errno
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from probed.exporter.exposition.family import Family
from probed.linux import syscalls

COUNT_SECONDS = 10.0
"""A map is counted no more often than this: one with 65,536 entries takes 9 ms, one with 300 of them 0.2 ms."""

CHUNK = 4096
"""Entries read at once; the kernel fails with ENOSPC at a bucket with more."""

PERCPU = (5, 10)
"""BPF_MAP_TYPE_PERCPU_HASH and BPF_MAP_TYPE_LRU_PERCPU_HASH of Linux include/uapi/linux/bpf.h."""

_GET_INFO = struct.Struct("=IIQ")  # bpf_fd, info_len, info
_INFO = struct.Struct("=IIIII")  # struct bpf_map_info: type, id, key_size, value_size, max_entries
_BATCH = struct.Struct("=QQQQIIQQ")  # in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags


@dataclass(frozen=True, slots=True)
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
        kind, _, key_size, value_size, self._capacity = _info(fd)
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
        room = [ctypes.addressof((ctypes.c_char * len(each)).from_buffer(each)) for each in (keys, values)]
        token = ctypes.create_string_buffer(8)
        found, before = 0, 0
        while True:
            count, ended = self._next(before, ctypes.addressof(token), room)
            found, before = found + count, ctypes.addressof(token)
            if ended:
                return found

    def _next(self, before: int, token: int, room: list[int]) -> tuple[int, bool]:
        """Take the next entries; return how many they are, and whether that was all."""
        attribute = ctypes.create_string_buffer(_BATCH.pack(before, token, *room, CHUNK, self._fd, 0, 0), _BATCH.size)
        ended = False
        try:
            syscalls.bpf(syscalls.BPF_MAP_LOOKUP_BATCH, attribute)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            ended = True
        return int(_BATCH.unpack_from(attribute)[4]), ended


def _info(fd: int) -> tuple[int, ...]:
    info = ctypes.create_string_buffer(_INFO.size)
    attribute = ctypes.create_string_buffer(_GET_INFO.pack(fd, _INFO.size, ctypes.addressof(info)), _GET_INFO.size)
    syscalls.bpf(syscalls.BPF_OBJ_GET_INFO_BY_FD, attribute)
    return _INFO.unpack(info)


def families(usages: Sequence[tuple[str, HashUsage]]) -> list[Family]:
    """Return the families of all hash maps, each with the name of the probe."""
    labels = [(probe, usage.name) for probe, usage in usages]

    def by_map(name: str, text: str, values: list[int]) -> Family:
        return Family(name, "gauge", text, ("probe", "map"), labels, np.array(values, np.uint64))

    return [
        by_map(
            "probed_map_entries",
            "Entries of the probe's hash map; those of a map that no metric reads as of at most 10 seconds ago.",
            [usage.entries for _, usage in usages],
        ),
        by_map(
            "probed_map_capacity",
            "Entries that the probe's hash map may have; what finds it full is lost, by the reason map_full.",
            [usage.capacity for _, usage in usages],
        ),
    ]
