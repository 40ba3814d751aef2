# SPDX-License-Identifier: Apache-2.0
"""Who is let in: a token bucket over all requests, and users with passwords hashed by bcrypt.

`server` asks for every request. Looking never takes long; verifying a password does, and is another thread's work.
Imported only where a web configuration is set. Source: RFC 7617, and the exporter-toolkit for what a client sees.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

import bcrypt

REMEMBERED = 128
"""Right passwords, and as many wrong ones, whose outcome is known without bcrypt. Nobody can push out right ones by
guessing wrong ones."""

_SIGNIFICANT = 72
"""Bytes of a password that bcrypt looks at; newer versions of the library refuse longer ones instead."""

_ANY_HASH = "$2b$10$" + 53 * "."


class Bucket:
    """Lets `burst` requests in at once, and one more each `interval` seconds (0: any number). For one thread."""

    def __init__(self, interval: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._burst, self._clock = interval, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Say whether a request is let in now, and count it if so."""
        if not self._interval:
            return True
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Passwords:
    """Users and their hashes. `look` is for the thread that must not wait, `verify` for the one that may."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = {name.encode(): hashed.encode() for name, hashed in users.items()}
        # Somebody whom nobody knows costs as much as the dearest user, so that names cannot be found by the clock.
        self._nobody = max(users.values(), key=_cost, default=_ANY_HASH)[:7].encode() + _ANY_HASH[7:].encode()
        self._secret = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()

    def look(self, authorization: str) -> bool | None:
        """Say whether the header's user and password are right; None where only `verify` can tell."""
        if not self._users:
            return True
        if _credentials(authorization) is None:
            return False
        digest = self._digest(authorization)
        return True if digest in self._right else False if digest in self._wrong else None

    def verify(self, authorization: str) -> bool:
        """Compute whether the header's user and password are right, and remember."""
        user, password = _credentials(authorization) or (b"", b"")
        known = user in self._users
        right = bcrypt.checkpw(password.replace(b"\0", b"")[:_SIGNIFICANT], self._users.get(user, self._nobody))
        right = right and known and b"\0" not in password
        _remember(self._right if right else self._wrong, self._digest(authorization))
        return right

    def _digest(self, authorization: str) -> bytes:
        return hashlib.blake2b(authorization.encode("latin-1"), key=self._secret, digest_size=32).digest()


def _remember(digests: OrderedDict[bytes, None], digest: bytes) -> None:
    digests[digest] = None
    if len(digests) > REMEMBERED:
        digests.popitem(last=False)


def _cost(hashed: str) -> int:
    return int(hashed.split("$")[2])


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """Read user and password from the value of a header; None where there are none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
