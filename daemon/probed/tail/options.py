# SPDX-License-Identifier: Apache-2.0
"""Options of `probed tail`. Pure."""

from __future__ import annotations

from typing import Literal

from probed.frozen import frozen

TailFormat = Literal["table", "json"]


@frozen
class Filters:
    """Events to show: globs of names, and numbers that must be equal; None and False let all events through.

    `errno` is a positive number; `min_lifetime` counts nanoseconds.
    """

    unit: str | None = None
    comm: str | None = None
    parent: str | None = None
    uid: int | None = None
    pid: int | None = None
    ppid: int | None = None
    failed: bool = False
    errno: int | None = None
    min_lifetime: int | None = None


@frozen
class TailOptions:
    """All options: at most `count` rows and `seconds`; with `all` also events that a trace usually leaves out."""

    filters: Filters = Filters()
    all: bool = False
    count: int | None = None
    seconds: float | None = None
    format: TailFormat = "table"
