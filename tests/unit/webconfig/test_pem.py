# SPDX-License-Identifier: Apache-2.0
"""Blocks of PEM files are found among any bytes."""

from __future__ import annotations

import pytest

from probed.webconfig.pem import certificates, private_key

BLOCK = b"-----BEGIN CERTIFICATE-----%b\nMAo=\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t ", b"\r"])
def test_blanks_after_the_first_line_of_a_block_are_no_fault(blanks: bytes) -> None:
    assert certificates(b"caf\xe9\n" + BLOCK % blanks).count("MAo=") == 1


def test_a_certificate_is_no_private_key() -> None:
    assert private_key(BLOCK % b"") == ""
