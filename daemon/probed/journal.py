# SPDX-License-Identifier: Apache-2.0
"""Entries for systemd's journal, over a datagram socket that is connected once.

sd_journal_send(3) keeps its socket unconnected and gives the address with every entry. The exporter's filter refuses
addresses, since such a socket sends anywhere. Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Final

PATH: Final = "/run/systemd/journal/socket"

BUFFER_BYTES: Final = 8 << 20
"""Wanted size of the socket's buffer, which bounds an entry; the kernel grants net.core.wmem_max at most."""

SHORT: Final = 16_000
"""Characters of a field that remain of an entry too large for the buffer."""


class JournalSocket:
    """The connection; it outlives restarts of systemd-journald, because systemd keeps the other end."""

    def __init__(self, path: str = PATH) -> None:
        """Connect. Raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def send(self, fields: Mapping[str, object]) -> None:
        """Send one entry; of one that is too large, the beginning of each field. Raises OSError."""
        texts = {name: str(value) for name, value in fields.items()}
        try:
            self._socket.send(entry(texts))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._socket.send(entry({name: text[:SHORT] for name, text in texts.items()}))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def entry(fields: Mapping[str, str]) -> bytes:
    """Return the bytes of an entry; lone surrogates, which UTF-8 cannot encode, are escaped."""
    return b"".join(_field(name, text.encode(errors="backslashreplace")) for name, text in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
