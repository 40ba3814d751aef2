# SPDX-License-Identifier: Apache-2.0
"""The ring buffer, on rings made of bytes: any content that the kernel may leave, and the events to expect."""

import mmap
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.bpf.ringbuf import BUSY, DISCARDED, Ring
from probed.ipc.manifest import Field, Record

EVENT = Record(20, (Field("number", "u32", 0, 1), Field("text", "char", 4, 16)))
STRIDE = 32
SIZE = 4096


@dataclass
class Producer:
    """The producer's side of a ring: writes records as the kernel does, twice where the data is mapped twice."""

    start: int = 0
    consumer: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, mmap.PAGESIZE))
    producer: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, mmap.PAGESIZE + 2 * SIZE))

    def __post_init__(self) -> None:
        self.position = self.start
        self.consumer[:8] = self.start.to_bytes(8, "little")
        self._publish()

    def _publish(self) -> None:
        self.producer[:8] = self.position.to_bytes(8, "little")

    def submit(self, number: int, flags: int = 0, length: int = EVENT.size, stride: int = STRIDE) -> int:
        """Write one record and return the position."""
        body = (length | flags).to_bytes(4, "little") + bytes(4) + number.to_bytes(4, "little")
        at = self.position
        for copy in (0, SIZE):
            offset = mmap.PAGESIZE + at % SIZE + copy
            if offset + len(body) <= len(self.producer):
                self.producer[offset : offset + len(body)] = body
        self.position += stride
        self._publish()
        return at

    def finish(self, at: int) -> None:
        """Clear a record's busy bit."""
        for copy in (0, SIZE):
            offset = mmap.PAGESIZE + at % SIZE + copy
            self.producer[offset : offset + 4] = EVENT.size.to_bytes(4, "little")

    @property
    def consumed(self) -> int:
        return int.from_bytes(self.consumer[:8], "little")

    def ring(self) -> Ring:
        return Ring(self.consumer, self.producer, SIZE, EVENT)


def drain(ring: Ring, limit: int = 1000) -> list[int]:
    numbers: list[int] = ring.batch(limit)["number"].tolist()
    ring.release()
    return numbers


def unaccounted(ring: Ring, sent: int) -> int:
    """Return how many events are unaccounted when the programs have counted `sent`."""
    return ring.unaccounted(lambda: sent)


def test_an_empty_ring_gives_an_empty_batch() -> None:
    ring = Producer().ring()
    assert drain(ring) == []
    assert not ring.release()


def test_events_come_oldest_first_and_their_space_is_given_back() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number in (3, 5, 7):
        kernel.submit(number)
    assert ring.fill == 3 * STRIDE
    assert drain(ring) == [3, 5, 7]
    assert kernel.consumed == 3 * STRIDE
    assert (ring.fill, ring.records) == (0, 3)


def test_a_batch_has_at_most_the_events_asked_for() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number in range(7):
        kernel.submit(number)
    assert [drain(ring, 3), drain(ring, 3), drain(ring, 3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_busy_record_ends_the_batch() -> None:
    kernel = Producer()
    ring = kernel.ring()
    kernel.submit(1)
    busy = kernel.submit(2, BUSY)
    kernel.submit(3)
    assert drain(ring) == [1]
    assert drain(ring) == []
    kernel.finish(busy)
    assert drain(ring) == [2, 3]
    assert ring.corrupt == 0


def test_discarded_records_are_left_out_and_counted() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number, flags in ((1, DISCARDED), (2, 0), (3, DISCARDED), (4, 0)):
        kernel.submit(number, flags)
    assert drain(ring) == [2, 4]
    assert (ring.discarded, ring.records) == (2, 4)


def test_a_batch_of_discarded_records_alone_is_empty_but_moves_on() -> None:
    kernel = Producer()
    ring = kernel.ring()
    kernel.submit(1, DISCARDED)
    assert len(ring.batch(10)) == 0
    assert ring.release()
    assert ring.fill == 0


@pytest.mark.parametrize("length", [0, 8, 19, 21, 24, 4096])
def test_a_record_of_another_length_is_corruption_up_to_the_producer(length: int) -> None:
    kernel = Producer()
    ring = kernel.ring()
    kernel.submit(1)
    kernel.submit(2, length=length)
    kernel.submit(3)
    assert drain(ring) == [1]
    assert drain(ring) == []
    assert (ring.corrupt, ring.fill) == (2, 0)
    kernel.submit(4)
    assert drain(ring) == [4]


@pytest.mark.parametrize("length", [1, 8, 16, 24, 25, 40, 100, 1000])
def test_after_records_of_another_length_the_sum_still_closes(length: int) -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number in (3, 5, 7):
        kernel.submit(number, length=length, stride=(length + 15) & ~7)
        wanted = ring.end
        assert drain(ring) == []
        assert ring.records == ring.corrupt == wanted
        assert ring.fill == 0
    kernel.submit(11)
    assert drain(ring) == [11]
    assert (ring.records, ring.end) == (ring.corrupt + 1, ring.corrupt + 1)


def test_a_short_record_that_is_still_written_is_left_alone() -> None:
    kernel = Producer()
    ring = kernel.ring()
    kernel.submit(1, flags=BUSY, length=8, stride=16)
    assert drain(ring) == []
    assert (ring.corrupt, ring.fill) == (0, 16)


def test_a_new_reader_goes_on_with_the_sums_after_corruption() -> None:
    kernel = Producer()
    old = kernel.ring()
    kernel.submit(1)
    kernel.submit(2, length=8, stride=16)
    kernel.submit(3, length=40, stride=48)
    assert (drain(old), drain(old)) == ([1], [])
    new = kernel.ring()
    new.take_over_losses(1, 0, old.corrupt)
    kernel.submit(4)
    assert (drain(old), drain(new)) == ([4], [4])
    assert (new.records, new.corrupt) == (old.records, old.corrupt) == (1 + old.corrupt + 1, old.corrupt)


@pytest.mark.parametrize("consumed", [7 * STRIDE + 8, 2**64 - 1, 3 * STRIDE + 2**63])
def test_a_consumer_position_behind_the_producer_s_begins_anew_at_the_end(consumed: int) -> None:
    """To the kernel the ring would be full for ever."""
    kernel = Producer()
    for number in range(7):
        kernel.submit(number)
    kernel.consumer[:8] = consumed.to_bytes(8, "little")
    ring = kernel.ring()
    assert (ring.was_spoiled, ring.fill, kernel.consumed) == (True, 0, 7 * STRIDE)
    kernel.submit(7)
    assert drain(ring) == [7]


def test_a_consumer_position_further_back_than_the_ring_is_long_begins_anew_at_the_end() -> None:
    kernel = Producer(start=3 * SIZE)
    kernel.consumer[:8] = (2 * SIZE - 8).to_bytes(8, "little")
    assert (kernel.ring().was_spoiled, kernel.consumed) == (True, 3 * SIZE)


@pytest.mark.parametrize("back", [0, STRIDE, SIZE])
def test_a_consumer_position_within_the_ring_stays(back: int) -> None:
    kernel = Producer(start=3 * SIZE)
    kernel.consumer[:8] = (3 * SIZE - back).to_bytes(8, "little")
    assert (kernel.ring().was_spoiled, kernel.consumed) == (False, 3 * SIZE - back)


@pytest.mark.parametrize(
    ("position", "records", "corrupt", "plausible"),
    [
        (1000 * STRIDE, 1000, 0, True),
        (1002 * STRIDE, 1002, 0, True),
        (1000 * STRIDE + 8, 1000, 0, True),  # the first reader of this memory rounds down
        (1000 * STRIDE + 48, 1002, 1, True),  # a corrupt record may be shorter
        (1002 * STRIDE, 1002 - SIZE // STRIDE, 0, True),  # an error while a batch was counted
        (999 * STRIDE, 999, 0, False),
        (1003 * STRIDE, 1003, 0, False),
        (1000 * STRIDE + 48, 1002, 0, False),
        (1002 * STRIDE, 1001 - SIZE // STRIDE, 0, False),
        (1002 * STRIDE, 0, 0, False),
        (1002 * STRIDE, 1 << 60, 0, False),
    ],
)
def test_a_committed_position_is_plausible_within_the_waiting_records_and_after_as_many_records(
    position: int, records: int, corrupt: int, plausible: bool
) -> None:
    kernel = Producer(start=1000 * STRIDE)
    ring = kernel.ring()
    kernel.submit(1)
    kernel.submit(2)
    assert ring.is_plausible(position, records, corrupt) == plausible


def test_a_reader_in_the_middle_of_a_record_skips_to_the_end() -> None:
    """The byte of an event there passes for the busy bit."""
    kernel = Producer()
    kernel.submit(BUSY | EVENT.size)
    kernel.submit(2)
    kernel.consumer[:8] = (8).to_bytes(8, "little")
    ring = kernel.ring()
    ring.skip_unless_whole()
    assert (ring.fill, ring.corrupt, kernel.consumed) == (0, 2, 2 * STRIDE)
    kernel.submit(3)
    assert drain(ring) == [3]


def test_whole_records_and_busy_ones_wait_for_the_next_reader() -> None:
    kernel = Producer()
    kernel.submit(1)
    busy = kernel.submit(2, BUSY)
    kernel.submit(3, DISCARDED)
    ring = kernel.ring()
    ring.skip_unless_whole()
    kernel.finish(busy)
    assert (drain(ring), ring.discarded, ring.corrupt) == ([1, 2], 1, 0)


def test_events_that_wrap_around_the_end_are_whole() -> None:
    kernel = Producer(start=SIZE - 2 * STRIDE)
    ring = kernel.ring()
    for number in range(5):
        kernel.submit(number)
    assert drain(ring) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("last", ["whole", "corrupt"])
def test_a_batch_ends_where_the_second_copy_of_the_data_ends(last: str) -> None:
    kernel = Producer(SIZE - 2 * STRIDE, producer=mmap.mmap(-1, mmap.PAGESIZE + SIZE + 3 * STRIDE))
    ring = kernel.ring()
    for number in range(101):
        kernel.submit(number)
    kernel.submit(101, length=EVENT.size if last == "whole" else EVENT.size - 1)
    ring.skip_unless_whole()
    if last == "corrupt":
        assert (ring.fill, ring.corrupt) == (0, 102)
        return
    assert [drain(ring), drain(ring, 7), drain(ring), drain(ring)] == [
        list(range(5)), list(range(5, 12)), list(range(12, 102)), []
    ]  # fmt: skip


def test_a_new_reader_goes_on_where_the_last_one_was() -> None:
    kernel = Producer()
    for number in range(4):
        kernel.submit(number)
    assert drain(kernel.ring(), 3) == [0, 1, 2]
    assert drain(kernel.ring()) == [3]


@given(
    st.integers(0, 10**12).map(lambda n: n * STRIDE),
    st.lists(st.lists(st.sampled_from([0, DISCARDED]), max_size=SIZE // STRIDE), max_size=8),
    st.integers(1, 50),
)
def test_every_record_is_delivered_or_discarded(start: int, rounds: list[list[int]], limit: int) -> None:
    kernel = Producer(start)
    ring = kernel.ring()
    wanted, got = [], []
    for flags_of_round in rounds:
        for flags in flags_of_round:
            number = (kernel.submit(kernel.position // STRIDE & 0xFFFF, flags) // STRIDE) & 0xFFFF
            wanted += [] if flags else [number]
        while ring.fill:
            got += drain(ring, limit)
    assert got == wanted
    assert ring.records - start // STRIDE == len(got) + ring.discarded


def test_char_arrays_come_as_bytes() -> None:
    kernel = Producer()
    kernel.submit(1)
    assert kernel.ring().batch(1)["text"].dtype == np.dtype("V16")


def test_a_ring_is_nearly_full_beyond_three_quarters() -> None:
    kernel = Producer()
    ring = kernel.ring()
    quarter = SIZE // 4 // STRIDE
    for number in range(3 * quarter):
        kernel.submit(number)
    assert not ring.is_nearly_full
    kernel.submit(7)
    assert ring.is_nearly_full
    drain(ring, 1)
    assert not ring.is_nearly_full


def test_the_highest_fill_is_that_before_a_release() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number in range(7):
        kernel.submit(number)
    ring.batch(5)
    kernel.submit(7)
    ring.release()
    assert (ring.fill, ring.highest_fill) == (3 * STRIDE, 8 * STRIDE)


def test_nothing_is_unaccounted_when_the_ring_has_the_events_that_the_programs_count() -> None:
    kernel = Producer()
    ring = kernel.ring()
    assert unaccounted(ring, 0) == 0
    for number in range(11):
        kernel.submit(number)
    drain(ring, 7)
    assert [unaccounted(ring, sent) for sent in (7, 9, 11)] == [0, 0, 0]


def test_events_that_are_submitted_while_both_are_read_are_accounted_for() -> None:
    kernel = Producer()
    ring = kernel.ring()

    def sent() -> int:
        for number in range(13):
            kernel.submit(number)
        return 13

    assert ring.unaccounted(sent) == 0


def test_a_record_that_is_reserved_and_not_submitted_is_accounted_for() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number in (2, 3):
        kernel.submit(number)
    kernel.submit(5, BUSY)
    assert drain(ring) == [2, 3]
    assert [unaccounted(ring, sent) for sent in (2, 3)] == [0, 0]


def test_events_that_only_one_side_counts_are_unaccounted() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for number in range(11):
        kernel.submit(number)
    drain(ring)
    kernel.submit(11)
    assert [unaccounted(ring, sent) for sent in (8, 10, 11, 12, 13, 17)] == [3, 1, 0, 0, 1, 5]


def test_discarded_records_are_no_events_that_the_programs_count() -> None:
    kernel = Producer()
    ring = kernel.ring()
    for flags in (0, DISCARDED, 0):
        kernel.submit(2, flags)
    drain(ring)
    assert [unaccounted(ring, sent) for sent in (1, 2, 3)] == [1, 0, 1]
