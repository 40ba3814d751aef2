# SPDX-License-Identifier: Apache-2.0
"""The digest is BLAKE2b of 256 bits, without OpenSSL."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from probed.digests import digest


def test_it_is_that_of_hashlib() -> None:
    assert digest(b"probed") == hashlib.blake2b(b"probed", digest_size=32).hexdigest()


def test_openssl_is_not_loaded() -> None:
    script = "import sys; import probed.digests; sys.exit('_hashlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
