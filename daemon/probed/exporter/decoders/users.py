# SPDX-License-Identifier: Apache-2.0
"""Names of users: the decoder `uid`.

It reads /etc/passwd itself. The C library would also ask the host's directory service, which may take seconds, and
the exporter's drain waits for label text; users that only a directory knows stay numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.host_table import Snapshot


def user_name(root: Path) -> Callable[[int | bytes], str]:
    """Return the decoder from a uid to the user's name, the number in decimal where /etc/passwd has none."""
    users = Snapshot(lambda: _users(root))

    def decode(value: int | bytes) -> str:
        uid = int(value) & 0xFFFFFFFF  # uid_t has no sign, whatever the C's field has
        return users.get(uid) or str(uid)

    return decode


def _users(root: Path) -> Iterator[tuple[int, str]]:
    """Yield uid and name of every line, the last first: where two users have one uid, the first counts. passwd(5)."""
    with (root / "etc/passwd").open("rb") as file:
        lines = file.readlines(1 << 24)
    for line in reversed(lines):
        name, _, rest = line.partition(b":")
        number = rest.split(b":")[1:2]
        if name and number and re.fullmatch(rb"[0-9]{1,10}", number[0]):
            yield int(number[0]), text(name)
