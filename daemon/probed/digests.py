# SPDX-License-Identifier: Apache-2.0
"""Digests of texts and files: BLAKE2b of 256 bits. Pure.

The function is `hashlib.blake2b`, imported from Python's own C module, because `hashlib` also loads OpenSSL: 3.5 MB of
the loader's peak.
"""

from __future__ import annotations

from _blake2 import blake2b


def digest(data: bytes) -> str:
    """Return the digest as 64 hexadecimal digits."""
    return blake2b(data, digest_size=32).hexdigest()
