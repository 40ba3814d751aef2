# SPDX-License-Identifier: Apache-2.0
"""A BPF ring buffer with records of any length, mapped by its only reader, `command`.

Source of the format: Linux kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst. `memory_order` keeps
the loads of producer's position, header and record in this order. Unlike the exporter's ring, a reader copies each
record, and nothing survives the reader.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

from probed.memory_order import barrier

BUSY: Final = 1 << 31
DISCARDED: Final = 1 << 30
HEADER_BYTES: Final = 8
"""Before each record: u32 length with both flags, u32 page offset."""

_POSITION: Final = struct.Struct("=Q")
_LENGTH: Final = struct.Struct("=I")


class RecordRing:
    """The records of one ring, oldest first. Positions are in bytes since the ring was made."""

    def __init__(self, consumer: mmap.mmap, producer: mmap.mmap, size: int) -> None:
        """Read a ring of `size` data bytes through two mappings: the consumer page; the producer page and data."""
        self._barrier = barrier()
        self._consumer = consumer
        self._producer = producer
        self._size = size
        self._position: int = _POSITION.unpack_from(consumer)[0]

    @classmethod
    def map(cls, fd: int, size: int) -> RecordRing:
        """Map the ring behind `fd`. Raises OSError."""
        page = mmap.PAGESIZE
        consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        producer = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        return cls(consumer, producer, size)

    def take(self, limit: int) -> list[bytes]:
        """Take at most `limit` records out of the ring; stop before a record that a program is still writing."""
        records: list[bytes] = []
        produced: int = _POSITION.unpack_from(self._producer)[0]
        self._barrier()
        while self._position < produced and len(records) < limit:
            start = mmap.PAGESIZE + self._position % self._size
            length: int = _LENGTH.unpack_from(self._producer, start)[0]
            if length & BUSY:
                break
            self._barrier()
            size = length & ~DISCARDED
            if not length & DISCARDED:
                records.append(self._producer[start + HEADER_BYTES : start + HEADER_BYTES + size])
            self._position += HEADER_BYTES + (size + 7) // 8 * 8
        self._barrier()
        _POSITION.pack_into(self._consumer, 0, self._position)
        return records
