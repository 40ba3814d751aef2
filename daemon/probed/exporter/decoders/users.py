# SPDX-License-Identifier: Apache-2.0
"""Names of users: the decoder `uid`.

The exporter reads /etc/passwd itself. The C library would also ask the host's directory service, which may take
seconds while the drain waits for label text; users known to a directory alone stay numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.host_table import HostTable
from probed.exporter.decoders.lookup import Find, Lookup


def user_names(root: Path) -> Find:
    """Return the look-up of users' names by uid in /etc/passwd."""
    return HostTable(lambda: _users(root)).get


def user_name(names: Lookup) -> Callable[[int | bytes], str]:
    """Return the decoder from a uid to the user's name, the number in decimal without one."""

    def decode(value: int | bytes) -> str:
        uid = int(value) & 0xFFFFFFFF  # uid_t is unsigned, whichever type the C gives the field
        return names.get(uid) or str(uid)

    return decode


def _users(root: Path) -> Iterator[tuple[int, str]]:
    """Yield uid and name of each line, in reverse: of users with one uid, the first counts. Source: passwd(5)."""
    with (root / "etc/passwd").open("rb") as file:
        lines = file.readlines(1 << 24)
    for line in reversed(lines):
        name, _, rest = line.partition(b":")
        number = rest.split(b":")[1:2]
        if name and number and re.fullmatch(rb"[0-9]{1,10}", number[0]):
            yield int(number[0]), text(name)
