# SPDX-License-Identifier: Apache-2.0
"""Certificates and private keys out of PEM files. Pure.

A PEM file is blocks of ASCII with any bytes around them (RFC 7468, section 2): comments in any encoding, and blocks of
other kinds. These functions choose blocks as Go's `tls.X509KeyPair` and `x509.AppendCertsFromPEM` do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n[ -~\s]*?-----END \1-----")


def certificates(data: bytes) -> str:
    """Return all certificates of a file as PEM text, "" where there is none."""
    return "".join(block for label, block in _blocks(data) if label == "CERTIFICATE")


def private_key(data: bytes) -> str:
    """Return the first private key of a file as PEM text, "" where there is none."""
    return next((block for label, block in _blocks(data) if f" {label}".endswith(" PRIVATE KEY")), "")


def _blocks(data: bytes) -> Iterator[tuple[str, str]]:
    for found in _BLOCK.finditer(data):
        yield found[1].decode(), found[0].decode() + "\n"
