# SPDX-License-Identifier: Apache-2.0
"""What a web configuration comes to, on its way from the loader through the supervisor to the exporter. Pure data.

`webfiles` makes it; the supervisor hands on the sealed memory in which it travels and never looks into it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Version = Literal["TLS12", "TLS13"]
ClientAuth = Literal["none", "optional", "required"]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS as the exporter needs it: PEM texts, names as OpenSSL has them; `ciphers` and `curve` empty: its choice."""

    certificate: str
    key: str
    client_ca: str
    client_auth: ClientAuth
    allowed_sans: tuple[str, ...]
    minimum: Version
    maximum: Version
    ciphers: str
    server_preference: bool
    curve: str


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the exporter is to do; `interval` 0 means no limit, `users` empty that nobody is asked for a password."""

    tls: TlsSettings | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    users: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interval: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class WebSummary:
    """What the supervisor is told, which never looks into the settings themselves.

    `files` are those that were read, each with what `stat` said of it at that moment (`state`).
    """

    tls: bool
    users: int
    files: Mapping[str, str]


class Stat(Protocol):
    """What is looked at of ``os.stat_result``."""

    @property
    def st_dev(self) -> int: ...  # noqa: D102
    @property
    def st_ino(self) -> int: ...  # noqa: D102
    @property
    def st_size(self) -> int: ...  # noqa: D102
    @property
    def st_mtime_ns(self) -> int: ...  # noqa: D102
    @property
    def st_ctime_ns(self) -> int: ...  # noqa: D102


def state(stat: Stat) -> str:
    """Return what tells one version of a file from the next."""
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
