# SPDX-License-Identifier: Apache-2.0
"""Basic authentication: users, passwords, and the cache of results."""

from __future__ import annotations

import base64

import bcrypt
import pytest

from probed.exporter.http_server.basic_auth import REMEMBERED, BasicAuth

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_password_is_known_once_it_was_verified() -> None:
    basic_auth = BasicAuth({"alice": HASH})
    assert basic_auth.check_cached(basic("alice", "secret")) is None
    assert basic_auth.verify_password(basic("alice", "secret"))
    assert basic_auth.check_cached(basic("alice", "secret")) is True
    assert not basic_auth.verify_password(basic("alice", "wrong"))
    assert basic_auth.check_cached(basic("alice", "wrong")) is False


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
def test_a_header_without_user_and_password_is_refused_without_bcrypt(authorization: str) -> None:
    assert BasicAuth({"alice": HASH}).check_cached(authorization) is False


def test_without_users_no_password_is_needed() -> None:
    assert BasicAuth({}).check_cached("") is True


def test_the_scheme_is_case_insensitive() -> None:
    assert BasicAuth({"a": HASH}).verify_password(basic("a", "secret").replace("Basic", "bAsIc"))


@pytest.mark.parametrize(
    ("user", "password"),
    [("bob", "secret"), ("", "secret"), ("alice", ""), ("alice", "sec\0ret"), ("alice", "secret\0")],
)
def test_wrong_users_and_passwords_are_refused(user: str, password: str) -> None:
    assert not BasicAuth({"alice": HASH}).verify_password(basic(user, password))


@pytest.mark.parametrize("user", ["alice", "nobody knows her"])
def test_an_unknown_user_costs_as_much_as_a_known_one(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[bytes] = []

    class Library:
        @staticmethod
        def checkpw(_: bytes, hashed: bytes) -> bool:
            costs.append(hashed[:7])
            return bool(bcrypt.checkpw(b"x", hashed))

    monkeypatch.setattr("probed.exporter.http_server.basic_auth.bcrypt", Library)
    assert not BasicAuth({"alice": HASH, "bob": HASH}).verify_password(basic(user, "x"))
    assert costs == [b"$2b$04$"]


def test_a_hash_with_the_oldest_prefix_works_like_the_others() -> None:
    basic_auth = BasicAuth({"alice": HASH.replace("$2b$", "$2$")})
    assert not basic_auth.verify_password(basic("alice", "wrong"))
    assert not basic_auth.verify_password(basic("bob", "secret"))
    assert basic_auth.verify_password(basic("alice", "secret"))


def test_wrong_guesses_evict_no_correct_password_and_are_bounded() -> None:
    basic_auth = BasicAuth({"alice": HASH})
    basic_auth.verify_password(basic("alice", "secret"))
    for number in range(REMEMBERED + 7):
        basic_auth.verify_password(basic("alice", str(number)))
    assert basic_auth.check_cached(basic("alice", "secret")) is True
    assert [basic_auth.check_cached(basic("alice", str(number))) for number in (6, 7)] == [None, False]


def test_bcrypt_compares_the_first_72_bytes_of_a_longer_password() -> None:
    hashed = bcrypt.hashpw(72 * b"x", bcrypt.gensalt(4)).decode()
    assert BasicAuth({"a": hashed}).verify_password(basic("a", 100 * "x"))
