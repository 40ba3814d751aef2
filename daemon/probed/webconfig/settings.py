# SPDX-License-Identifier: Apache-2.0
"""The content of a web configuration, from the loader through the supervisor to the exporter. Pure data.

`reader` makes it. The supervisor passes on the sealed memory with the settings and never reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, Protocol

from probed.frozen import frozen

Version = Literal["TLS12", "TLS13"]
ClientAuth = Literal["none", "optional", "required"]


@frozen
class TlsSettings:
    """TLS settings for OpenSSL: PEM texts and OpenSSL's names; empty `ciphers` or `curve`: OpenSSL's default."""

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


@frozen
class WebSettings:
    """Settings of the HTTP server. `interval` 0 means no rate limit; empty `users` mean no authentication."""

    tls: TlsSettings | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    users: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interval: float = 0.0
    burst: int = 0


@frozen
class WebSummary:
    """Summary of the settings for the supervisor; `files` has the `state` of each file when the loader read it."""

    tls: bool
    users: int
    files: Mapping[str, str]


class Stat(Protocol):
    """The fields of ``os.stat_result`` that `state` reads."""

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
    """Return a text that differs between versions of a file."""
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
