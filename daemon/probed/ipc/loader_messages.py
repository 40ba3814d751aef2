# SPDX-License-Identifier: Apache-2.0
"""What supervisor and loader say to each other, fds aside.

The loader reads the site configuration and the probes; what it makes of them comes back to it when the supervisor wants
it loaded, so that what is loaded is what was compared, whatever happens to the files meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probed.errors import Reason
from probed.webconfig.options import WebOptions

Goal = Literal["compile", "verify", "attach"]
"""How far the loader goes: against the C alone, through the verifier and the attach points, or for good."""


@dataclass(frozen=True, slots=True)
class Text:
    """One file: its path as the user knows it, and what it said when it was read."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One probe to load: its declaration, the site configuration with its overrides, and its C.

    `btf` is the file that tells the kernel's types, `fingerprint` covers everything that the result depends on: the
    same means that nothing has changed.
    """

    name: str
    declaration: Text
    site: Text | None
    source: Text
    header: Text
    canary: Text
    btf: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Files:
    """What is to be read: the site configuration, and the file that tells the kernel's types."""

    config_file: str
    btf: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the site configuration says to the supervisor; the path in `web` can be opened."""

    web: WebOptions
    user: str | None
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One probe that the site wants."""

    description: str
    request: LoadRequest


@dataclass(frozen=True, slots=True)
class Ending:
    """The last message to the loader."""

    goal: Goal


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one probe, or with the name "" none at all, could be loaded; `errno` is 0 where none belongs to it."""

    name: str
    reason: Reason
    text: str
    errno: int
