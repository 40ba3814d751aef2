# SPDX-License-Identifier: Apache-2.0
"""A BPF ring buffer, mapped: whole batches of events as numpy arrays.

`probe` drains it. Source of the format: Linux kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst.
The reader loads the producer's position before the records' headers, the headers before the events, and stores the
consumer's position last: `memory_order` keeps this order.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import LENGTH, ring_dtype
from probed.exporter.arrays.ndarray import NDArray
from probed.ipc.manifest import Record
from probed.memory_order import barrier

BUSY = 1 << 31
DISCARDED = 1 << 30


class Ring:
    """One ring of fixed-size events.

    Positions are in bytes since the ring was made. `discarded` and `corrupt` count skipped records. `highest_fill` is
    the most bytes that waited before a release; its reader sets it back to 0. `was_spoiled`: the consumer page had a
    position outside of the ring, which an intruder wrote, as every exporter can; the ring begins anew at its end.
    """

    def __init__(self, consumer: mmap.mmap, producer: mmap.mmap, size: int, event: Record) -> None:
        """Read a ring of `size` data bytes through two mappings: the consumer page; the producer page and data.

        The data comes again behind its end, all or a part, as the kernel maps it. Raises HostError on a machine that
        probed does not know.
        """
        self._barrier = barrier()
        self._size = size
        self._event_bytes = event.size
        self._dtype = ring_dtype(event)
        self._consumer = np.frombuffer(consumer, np.uint64, 1)
        self._producer = np.frombuffer(producer, np.uint64, 1)
        self._data = np.frombuffer(producer, np.uint8, offset=mmap.PAGESIZE)
        consumed, produced = int(self._consumer[0]), int(self._producer[0])
        self.was_spoiled = not produced - size <= consumed <= produced
        if self.was_spoiled:  # the kernel would find no room for ever
            self._consumer[0] = consumed = produced
        self._position = self._next = consumed
        self._padding = 0
        self.discarded = 0
        self.corrupt = 0
        self.highest_fill = 0

    @classmethod
    def map(cls, fd: int, size: int, event: Record) -> Ring:
        """Map the ring behind `fd`, `size` data bytes. Raises OSError.

        The kernel has the data twice in a row. A quarter of the second copy, at least a record, is room for a batch
        across the end; each page of a mapping counts in the process's RSS.
        """
        page = mmap.PAGESIZE
        again = min(size, max(size // 4, -(-ring_dtype(event).itemsize // page) * page))
        consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        producer = mmap.mmap(fd, page + size + again, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        return cls(consumer, producer, size, event)

    @property
    def stride(self) -> int:
        """Bytes from one record to the next."""
        return self._dtype.itemsize

    @property
    def records(self) -> int:
        """Records that left the ring since it was made: delivered, discarded or corrupt."""
        return (self._position + self._padding) // self.stride

    @property
    def fill(self) -> int:
        """Bytes waiting in the ring."""
        return int(self._producer[0]) - self._position

    @property
    def end(self) -> int:
        """The value of `records` after all waiting records have left the ring."""
        return self.records + -(-self.fill // self.stride)

    @property
    def is_nearly_full(self) -> bool:
        """Whether more than three quarters of the ring wait."""
        return 4 * self.fill > 3 * self._size

    def unaccounted(self, read_sent: Callable[[], int]) -> int:
        """Return the difference between the programs' count of events and the ring's, 0 if both agree.

        A program counts an event after it reserved the record, and before it submits the record. So at any moment at
        least the taken events were counted, and at most the events with a record: taken <= sent <= taken + waiting.
        Hence `read_sent` is called here, between the two readings of the ring.
        """
        taken = self.records - self.discarded
        sent = read_sent()
        return max(0, taken - sent, sent - (self.end - self.discarded))

    def batch(self, limit: int) -> NDArray[Any]:
        """Return the oldest events, at most `limit`, shape (n,): a view of the ring, valid until `release`.

        Discarded records are left out. Stops before the first busy record: another CPU may still be writing it.
        A record of another length than the event's is corruption: the reader skips and counts everything up to the
        producer's position, since nothing tells where the next record begins.
        """
        waiting = self.fill
        self._barrier()
        records = self._whole(waiting, limit)
        if 0 < waiting < self.stride:
            self._skip_fraction()
        lengths = records[LENGTH].copy()
        self._barrier()
        if (lengths == self._event_bytes).all():
            return records
        return self._sound(records, lengths)

    def _whole(self, waiting: int, limit: int) -> NDArray[Any]:
        records = self._records_at(self._position, min(waiting // self.stride, limit))
        self._next = self._position + len(records) * self.stride
        return records

    def _records_at(self, position: int, most: int) -> NDArray[Any]:
        """Return the records from a position on, at most as many as the mapping has in a row."""
        start = position % self._size
        count = min(most, (len(self._data) - start) // self.stride)
        return self._data[start : start + count * self.stride].view(self._dtype)

    def _sound(self, records: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
        """Cut at the first busy or corrupt record, then leave out discarded records."""
        strange = np.flatnonzero((lengths & ~np.uint32(DISCARDED)) != self._event_bytes)
        if len(strange):
            first = int(strange[0])
            self._next = self._position + first * self.stride
            if first == 0 and not lengths[0] & BUSY:
                self._skip_corruption()
            records, lengths = records[:first], lengths[:first]
        kept: NDArray[Any] = records[lengths == self._event_bytes]
        self.discarded += len(records) - len(kept)
        return kept

    def _skip_fraction(self) -> None:
        """Skip less than a whole record: the rest of the record would never come."""
        start = self._position % self._size
        if not self._data[start : start + 4].view(np.uint32)[0] & BUSY:
            self._skip_corruption()

    def _skip_corruption(self) -> None:
        """Count the skipped bytes as whole records, a fraction at the end as one too."""
        produced = int(self._producer[0])
        count = -(-(produced - self._position) // self.stride)
        self.corrupt += count
        self._padding += count * self.stride - (produced - self._position)
        self._next = produced

    @property
    def next(self) -> int:
        """The position behind the last batch."""
        return self._next

    def skip_to(self, position: int) -> None:
        """Leave out the records before a position: another reader had taken them."""
        self._next = max(position, self._position)
        self.release()

    def is_plausible(self, position: int, records: int, corrupt: int) -> bool:
        """Say whether an earlier reader can have been at a position after so many records, with corrupt ones.

        An error while a batch was counted leaves up to a ring of records out of the count.
        """
        gap = position - records * self.stride
        return 0 <= position - self._position <= self.fill and -corrupt * self.stride <= gap < self.stride + self._size

    def skip_unless_whole(self) -> None:
        """Skip everything that waits as corrupt, unless it is whole records of the event's length, busy ones included.

        At a position within a record, a byte of the event could pass for the busy bit, for ever.
        """
        waiting = self.fill
        are_whole, position = not waiting % self.stride, self._position
        while are_whole and position < self._position + waiting:
            records = self._records_at(position, (self._position + waiting - position) // self.stride)
            are_whole = bool((records[LENGTH] & ~np.uint32(BUSY | DISCARDED) == self._event_bytes).all())
            position += len(records) * self.stride
        self._next = self._position
        if not are_whole:
            self._skip_corruption()
            self.release()

    def take_over_losses(self, delivered: int, discarded: int, corrupt: int) -> None:
        """Go on with the sums of an earlier reader at the present position."""
        self.discarded, self.corrupt = discarded, corrupt
        if corrupt:  # else every record was whole
            self._padding = (delivered + discarded + corrupt) * self.stride - self._position

    def release(self) -> bool:
        """Give the space of the last batch back to the producers; say whether the batch had records."""
        self.highest_fill = max(self.highest_fill, self.fill)
        moved = self._next != self._position
        self._position = self._next
        self._barrier()
        self._consumer[0] = self._position
        return moved
