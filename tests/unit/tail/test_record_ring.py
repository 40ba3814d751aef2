# SPDX-License-Identifier: Apache-2.0
"""A ring with records of any length, made of bytes."""

from __future__ import annotations

import mmap
import struct

import pytest

from probed.tail.record_ring import BUSY, DISCARDED, RecordRing

SIZE = 4096


class KernelRing:
    """Both mappings of a ring, and the kernel's side: the data twice, one behind the other."""

    def __init__(self, position: int = 0) -> None:
        self.consumer = mmap.mmap(-1, mmap.PAGESIZE)
        self.producer = mmap.mmap(-1, mmap.PAGESIZE + 2 * SIZE)
        self.position = position
        self.consumer[:8] = self.producer[:8] = struct.pack("=Q", position)

    def put(self, data: bytes, flags: int = 0) -> None:
        record = struct.pack("=II", len(data) | flags, 0) + data.ljust((len(data) + 7) // 8 * 8, b"\xaa")
        for at, byte in enumerate(record):
            for copy in (0, SIZE):
                self.producer[mmap.PAGESIZE + copy + (self.position + at) % SIZE] = byte
        self.position += len(record)
        self.producer[:8] = struct.pack("=Q", self.position)

    def consumed(self) -> int:
        return int(struct.unpack("=Q", self.consumer[:8])[0])

    def reader(self) -> RecordRing:
        return RecordRing(self.consumer, self.producer, SIZE)


def test_records_of_any_length_come_in_order() -> None:
    ring = KernelRing()
    records = [b"", b"a", b"12345678", b"x" * 1001]
    for record in records:
        ring.put(record)
    assert ring.reader().take(100) == records
    assert ring.consumed() == ring.position


@pytest.mark.parametrize("start", [SIZE - 8, SIZE - 16, 7 * SIZE - 504])
def test_a_record_that_wraps_around_is_whole(start: int) -> None:
    ring = KernelRing(start)
    ring.put(bytes(range(250)) * 4)
    assert ring.reader().take(1) == [bytes(range(250)) * 4]


def test_a_busy_record_ends_the_batch_and_stays() -> None:
    ring = KernelRing()
    ring.put(b"first")
    ring.put(b"being written", BUSY)
    ring.put(b"later")
    reader = ring.reader()
    assert reader.take(100) == [b"first"]
    assert ring.consumed() == 16
    assert reader.take(100) == []


def test_a_discarded_record_is_left_out() -> None:
    ring = KernelRing()
    ring.put(b"gone", DISCARDED)
    ring.put(b"there")
    assert ring.reader().take(100) == [b"there"]


def test_a_batch_has_at_most_the_limit() -> None:
    ring = KernelRing()
    for number in range(5):
        ring.put(b"%d" % number)
    reader = ring.reader()
    assert [reader.take(2) for _ in range(3)] == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
