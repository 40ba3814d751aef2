# SPDX-License-Identifier: Apache-2.0
"""The options of the command line, and their precedence over the site configuration. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from probed.frozen import frozen
from probed.ipc.loader_messages import Files, Settings


@frozen
class Options:
    """Options of `probed run`; None leaves one to the site configuration.

    `web` has the fields of `WebOptions` that the command line sets. With `systemd_socket` a .socket unit listens.
    """

    files: Files
    systemd_socket: bool = False
    web: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    log_level: str | None = None
    log_format: str | None = None

    def apply_to(self, settings: Settings) -> Settings:
        """Return the site's settings with the options of the command line in their place."""
        return replace(
            settings,
            web=replace(settings.web, **self.web),
            log_level=self.log_level or settings.log_level,
            log_format=self.log_format or settings.log_format,
        )
