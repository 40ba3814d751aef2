# SPDX-License-Identifier: Apache-2.0
"""What passes between the processes: JSON and fds, whole or refused."""

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from probed.ipc.channel import MAX_FDS, Channel, Closed, Starved


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, socket_of_other = Channel.pair()
    other = Channel(socket_of_other)
    yield one, other
    one.close()
    other.close()


def test_a_message_arrives_as_it_was_sent(ends: tuple[Channel, Channel]) -> None:
    ends[0].send("probe", {"name": "é\n", "numbers": [1, 2.5, None, True]})
    message = ends[1].receive()
    assert (message.kind, message.data, message.fds) == (
        "probe",
        {"name": "é\n", "numbers": [1, 2.5, None, True]},
        (),
    )


def test_fds_arrive_open_and_in_order(ends: tuple[Channel, Channel]) -> None:
    files = [os.memfd_create(str(number)) for number in range(7)]
    for number, fd in enumerate(files):
        os.write(fd, str(number).encode())
    ends[0].send("fds", None, files)
    received = ends[1].receive().fds
    assert [os.pread(fd, 9, 0) for fd in received] == [str(number).encode() for number in range(7)]
    assert not any(os.get_inheritable(fd) for fd in received)
    for fd in (*files, *received):
        os.close(fd)


def test_messages_stay_apart(ends: tuple[Channel, Channel]) -> None:
    for number in range(3):
        ends[0].send("n", number)
    assert [ends[1].receive().data for _ in range(3)] == [0, 1, 2]


def test_the_other_side_s_end_is_an_error_of_its_own(ends: tuple[Channel, Channel]) -> None:
    ends[0].close()
    with pytest.raises(Closed):
        ends[1].receive()
    with pytest.raises(Closed):
        ends[1].send("late", None)


def test_too_many_fds_are_refused_before_they_are_sent(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match="254 fds"):
        ends[0].send("fds", None, [0] * (MAX_FDS + 1))


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"kind": 1, "data": 2}', b'{"kind": "a"}', b"\xff", b'{"kind":"a","data":1,"x":1}'],
)
def test_what_is_no_message_is_refused_and_its_fds_are_closed(body: bytes) -> None:
    ours, theirs = Channel.pair()
    reader, writer = os.pipe()
    socket.send_fds(theirs, [body], [writer])
    os.close(writer)
    with pytest.raises(ValueError, match="not a message"):
        ours.receive()
    assert os.read(reader, 1) == b""  # nobody has the writing end any more
    os.close(reader)
    theirs.close()
    ours.close()


def test_a_silent_other_side_is_a_timeout(ends: tuple[Channel, Channel]) -> None:
    ends[0].set_timeout(0.01)
    with pytest.raises(TimeoutError):
        ends[0].receive()


def test_a_message_whose_fds_have_no_room_says_what_it_was(ends: tuple[Channel, Channel]) -> None:
    files = [os.memfd_create(str(number)) for number in range(3)]
    ends[0].send("probe", {"name": "a"}, files)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files) + 1, before[1]))
    try:
        with pytest.raises(Starved) as starved:
            ends[1].receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    message = starved.value.message
    assert (message.kind, message.data, message.fds) == ("probe", {"name": "a"}, ())
    for fd in files:
        os.close(fd)
    ends[0].send("next", None)
    assert ends[1].receive().kind == "next"
