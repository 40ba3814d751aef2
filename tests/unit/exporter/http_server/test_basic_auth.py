# SPDX-License-Identifier: Apache-2.0
"""Who is let in."""

from __future__ import annotations

import base64

import bcrypt
import pytest

from probed.exporter.http_server import basic_auth as admission
from probed.exporter.http_server.basic_auth import REMEMBERED, Bucket, Passwords

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_password_is_known_once_it_was_verified() -> None:
    passwords = Passwords({"alice": HASH})
    assert passwords.look(basic("alice", "secret")) is None
    assert passwords.verify(basic("alice", "secret"))
    assert passwords.look(basic("alice", "secret")) is True
    assert not passwords.verify(basic("alice", "wrong"))
    assert passwords.look(basic("alice", "wrong")) is False


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !",
        "Basic YQ",
        "Bearer x",
        "Basic YWxpY2U=",
        "Basic " + 9999 * "A",
        "Basic \xe9",
        "basic  ==",
    ],
)
def test_what_holds_no_user_and_password_is_refused_without_bcrypt(authorization: str) -> None:
    assert Passwords({"alice": HASH}).look(authorization) is False


def test_where_there_are_no_users_nobody_is_asked() -> None:
    assert Passwords({}).look("") is True


def test_the_scheme_is_written_as_one_likes() -> None:
    assert Passwords({"a": HASH}).verify(basic("a", "secret").replace("Basic", "bAsIc"))


@pytest.mark.parametrize(
    ("user", "password"),
    [("bob", "secret"), ("", "secret"), ("alice", ""), ("alice", "sec\0ret"), ("alice", "secret\0")],
)
def test_anything_else_is_wrong(user: str, password: str) -> None:
    assert not Passwords({"alice": HASH}).verify(basic(user, password))


@pytest.mark.parametrize("user", ["alice", "nobody knows her"])
def test_an_unknown_user_costs_what_a_known_one_costs(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[bytes] = []

    class Library:
        @staticmethod
        def checkpw(_: bytes, hashed: bytes) -> bool:
            costs.append(hashed[:7])
            return bool(bcrypt.checkpw(b"x", hashed))

    monkeypatch.setattr(admission, "bcrypt", Library)
    assert not Passwords({"alice": HASH, "bob": HASH}).verify(basic(user, "x"))
    assert costs == [b"$2b$04$"]


def test_guessing_makes_nobody_forgotten_and_is_bounded() -> None:
    passwords = Passwords({"alice": HASH})
    passwords.verify(basic("alice", "secret"))
    for number in range(REMEMBERED + 7):
        passwords.verify(basic("alice", str(number)))
    assert passwords.look(basic("alice", "secret")) is True
    assert [passwords.look(basic("alice", str(number))) for number in (6, 7)] == [None, False]


def test_a_password_longer_than_bcrypt_looks_at_is_compared_as_far_as_it_does() -> None:
    hashed = bcrypt.hashpw(72 * b"x", bcrypt.gensalt(4)).decode()
    assert Passwords({"a": hashed}).verify(basic("a", 100 * "x"))


def test_a_bucket_lets_in_its_burst_and_then_one_each_interval() -> None:
    now = [0.0]
    bucket = Bucket(0.5, 3, lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    now[0] += 1.25
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] += 1000
    assert sum(bucket.take() for _ in range(10)) == 3


def test_no_interval_is_no_limit() -> None:
    assert all(Bucket(0.0, 0).take() for _ in range(100))
