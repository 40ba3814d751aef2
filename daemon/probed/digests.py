# SPDX-License-Identifier: Apache-2.0
"""Digests of texts and files: BLAKE2b of 256 bits, of Python's own code.

`hashlib` would load OpenSSL for other algorithms: 3.5 MB of the loader's peak. Pure.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def _hashlib() -> ModuleType:
    """Import `hashlib` without OpenSSL, unless the process has imported either."""
    there = {"hashlib", "_hashlib"} & sys.modules.keys()
    modules: dict[str, Any] = sys.modules
    if not there:
        modules["_hashlib"] = None  # an import of it fails
    try:
        return import_module("hashlib")
    finally:
        if not there:
            del modules["_hashlib"]


def digest(data: bytes) -> str:
    """Return the digest as 64 hexadecimal digits."""
    return str(_hashlib().blake2b(data, digest_size=32).hexdigest())
