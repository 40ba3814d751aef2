# SPDX-License-Identifier: Apache-2.0
"""What the command line says about a run, and what becomes of it with the site configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probed.ipc.loader_messages import Files, Settings


@dataclass(frozen=True, slots=True)
class Options:
    """None leaves it to the site configuration; `systemd_socket` says that a .socket unit does the listening."""

    files: Files
    listen_addresses: tuple[str, ...] | None = None
    systemd_socket: bool = False
    telemetry_path: str | None = None
    log_level: str | None = None
    log_format: str | None = None
    web_config_file: str | None = None
    max_requests: int | None = None
    enable_lifecycle: bool | None = None

    def over(self, settings: Settings) -> Settings:
        """Put the command line's wishes on top of the site's."""
        return replace(
            settings,
            listen_addresses=self.listen_addresses or settings.listen_addresses,
            telemetry_path=self.telemetry_path or settings.telemetry_path,
            log_level=self.log_level or settings.log_level,
            log_format=self.log_format or settings.log_format,
            web_config_file=self.web_config_file or settings.web_config_file,
            max_requests=self.max_requests or settings.max_requests,
            enable_lifecycle=self.enable_lifecycle or settings.enable_lifecycle,
        )
