# SPDX-License-Identifier: Apache-2.0
"""HTTP basic authentication: users and their passwords, hashed by bcrypt.

`secured_policy` asks for every request. `check_cached` returns at once; `verify_password` computes a bcrypt hash, so a
thread of its own calls it. Imported only with a web configuration.
Source: RFC 7617; answers to a client are those of Prometheus' exporter-toolkit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping

import bcrypt

REMEMBERED = 128
"""Most correct passwords, and most wrong ones, with a remembered result. Wrong guesses evict no correct password."""

_SIGNIFICANT = 72
"""Bytes of a password that bcrypt uses; newer versions of the library refuse longer passwords instead."""

_ANY_HASH = b"$2b$10$" + 53 * b"."


class BasicAuth:
    """Users by name with their bcrypt hashes, and a cache of results. Thread-safe."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = {name.encode(): _hash(written) for name, written in users.items()}
        # An unknown user costs as much as the most expensive known one, so timing reveals no user names.
        self._unknown = max(self._users.values(), key=_cost, default=_ANY_HASH)[:7] + _ANY_HASH[7:]
        self._secret = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()

    def check_cached(self, authorization: str) -> bool | None:
        """Return whether user and password are correct; None when only `verify_password` can tell."""
        if not self._users:
            return True
        if _credentials(authorization) is None:
            return False
        digest = self._digest(authorization)
        return True if digest in self._right else False if digest in self._wrong else None

    def verify_password(self, authorization: str) -> bool:
        """Hash the password, compare it with the user's hash, and remember the result."""
        user, password = _credentials(authorization) or (b"", b"")
        known = user in self._users
        right = bcrypt.checkpw(password.replace(b"\0", b"")[:_SIGNIFICANT], self._users.get(user, self._unknown))
        right = right and known and b"\0" not in password
        _remember(self._right if right else self._wrong, self._digest(authorization))
        return right

    def _digest(self, authorization: str) -> bytes:
        return hashlib.blake2b(authorization.encode("latin-1"), key=self._secret, digest_size=32).digest()


def _remember(digests: OrderedDict[bytes, None], digest: bytes) -> None:
    digests[digest] = None
    if len(digests) > REMEMBERED:
        digests.popitem(last=False)


def _hash(written: str) -> bytes:
    """Return the hash for the bcrypt library, which refuses the oldest prefix ``$2$``; Go's takes it as ``$2b$``."""
    return (written.replace("$2$", "$2b$", 1) if written.startswith("$2$") else written).encode()


def _cost(hashed: bytes) -> int:
    return int(hashed.split(b"$")[2])


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """Decode user and password from an Authorization header; None when it holds no basic credentials."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
