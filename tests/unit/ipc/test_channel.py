# SPDX-License-Identifier: Apache-2.0
"""Messages between the processes: JSON and fds, complete or refused."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from probed.errors import DeclarationError
from probed.ipc.channel import MAX_BYTES, MAX_FDS, Channel, Closed, Starved
from support.unit.raw_messages import send_packet, send_raw


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Bell:
    pass


Ends = tuple[Channel[Note | Bell, Note | Bell], Channel[Note | Bell, Note | Bell]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, socket_of_other = Channel[Note | Bell, Note | Bell].pair((Note, Bell))
    other = Channel[Note | Bell, Note | Bell](socket_of_other, (Note, Bell))
    yield one, other
    one.close()
    other.close()


def test_a_message_arrives_as_it_was_sent(ends: Ends) -> None:
    note = Note("é\n", (1, 2.5))
    ends[0].send(note)
    packet = ends[1].receive()
    assert (packet.message, packet.fds) == (note, ())


def test_fds_arrive_open_and_in_order(ends: Ends) -> None:
    files = [os.memfd_create(str(number)) for number in range(7)]
    for number, fd in enumerate(files):
        os.write(fd, str(number).encode())
    ends[0].send(Bell(), files)
    received = ends[1].receive().fds
    assert [os.pread(fd, 9, 0) for fd in received] == [str(number).encode() for number in range(7)]
    assert not any(os.get_inheritable(fd) for fd in received)
    for fd in (*files, *received):
        os.close(fd)


def test_messages_stay_apart(ends: Ends) -> None:
    for text in "abc":
        ends[0].send(Note(text))
    assert [ends[1].receive().message for _ in range(3)] == [Note("a"), Note("b"), Note("c")]


def test_the_other_side_s_end_is_an_error_of_its_own(ends: Ends) -> None:
    ends[0].close()
    with pytest.raises(Closed):
        ends[1].receive()
    with pytest.raises(Closed):
        ends[1].send(Bell())


@pytest.mark.parametrize(("text", "fds"), [("", [0] * (MAX_FDS + 1)), ("x" * (MAX_BYTES // 4), [])])
def test_a_message_that_is_too_large_is_refused_before_it_is_sent(ends: Ends, text: str, fds: list[int]) -> None:
    with pytest.raises(ValueError, match=r"message Note has .* too large to send"):
        ends[0].send(Note(text), fds)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b'{"kind": 1, "data": 2}', b'{"kind": "a"}', b"\xff", b'{"kind":"a","data":1,"x":1}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused_and_its_fds_are_closed(ends: Ends, body: bytes) -> None:
    reader, writer = os.pipe()
    send_packet(ends[0], body, [writer])
    os.close(writer)
    with pytest.raises(ValueError, match="not a message"):
        ends[1].receive()
    assert os.read(reader, 1) == b""  # no process has the writing end any more
    os.close(reader)


def test_descriptors_in_an_empty_packet_are_closed(ends: Ends) -> None:
    reader, writer = os.pipe()
    send_packet(ends[0], b"", [writer])
    os.close(writer)
    with pytest.raises(Closed):
        ends[1].receive()
    assert os.read(reader, 1) == b""  # no process has the writing end any more
    os.close(reader)


@pytest.mark.parametrize(
    ("kind", "data", "fault"),
    [
        ("Order", {}, "a message of kind 'Order'; expected Note, Bell"),
        ("Note", {"text": 7}, "message Note: text: expected text, found the number 7"),
        ("Note", {}, "message Note: text: this required key is missing"),
        ("Bell", {"text": ""}, "message Bell: text: unknown key"),
    ],
)
def test_a_message_of_another_kind_or_form_is_refused_and_its_fds_are_closed(
    ends: Ends, kind: str, data: object, fault: str
) -> None:
    reader, writer = os.pipe()
    send_raw(ends[0], kind, data, [writer])
    os.close(writer)
    with pytest.raises((ValueError, DeclarationError)) as raised:
        ends[1].receive()
    assert str(raised.value).startswith(fault)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_silent_other_side_is_a_timeout(ends: Ends) -> None:
    ends[0].set_timeout(0.01)
    with pytest.raises(TimeoutError):
        ends[0].receive()


def test_a_message_whose_fds_have_no_room_says_what_it_was(ends: Ends) -> None:
    files = [os.memfd_create(str(number)) for number in range(3)]
    ends[0].send(Note("a"), files)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files) + 1, before[1]))
    try:
        with pytest.raises(Starved) as starved:
            ends[1].receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert starved.value.message == Note("a")
    for fd in files:
        os.close(fd)
    ends[0].send(Bell())
    assert ends[1].receive().message == Bell()
