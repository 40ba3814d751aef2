# SPDX-License-Identifier: Apache-2.0
"""The web configuration and the files that it names, read and tried: all that `websettings.WebSettings` hold.

The loader calls it, at the start and when a file has changed; `probed check` likewise. What it read leaves the
loader in memory without a name (`sealed_memory`), so that the exporter needs no right to read a private key.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import PurePath

from probed.errors import DeclarationError, Problem
from probed.linux import memfd
from probed.schema import strict_yaml, structure
from probed.webconfig.file import TlsServer, WebConfiguration
from probed.webconfig.settings import TlsSettings, WebSettings, WebSummary, state

MAX_BYTES = 1 << 20
"""Of one file: a bundle of all authorities that browsers know has a fifth of it."""


@dataclass(frozen=True, slots=True)
class WebFiles:
    """What was read."""

    settings: WebSettings
    summary: WebSummary


def read(path: str) -> WebFiles:
    """Read everything, and try TLS. Raises DeclarationError with every Problem."""
    reading = _Reader()
    text = reading.text(path, Problem(path, 0, "", ""))
    configuration = strict_yaml.parse(WebConfiguration, text, path)
    tls = configuration.tls_server_config
    settings = WebSettings(
        tls=reading.tls(tls, configuration) if tls else None,
        headers=(configuration.http_server_config.headers if configuration.http_server_config else None) or {},
        users=configuration.basic_auth_users or {},
        interval=configuration.rate_limit.interval if configuration.rate_limit else 0.0,
        burst=configuration.rate_limit.burst if configuration.rate_limit else 0,
    )
    return WebFiles(settings, WebSummary(settings.tls is not None, len(settings.users), reading.files))


def certificate(path: str) -> str | None:
    """Return the certificate that a daemon shows, as PEM text, None without TLS. Raises DeclarationError.

    The private key is not read: this is for clients.
    """
    reading = _Reader()
    configuration = strict_yaml.parse(WebConfiguration, reading.text(path, Problem(path, 0, "", "")), path)
    tls = configuration.tls_server_config
    return reading.part("cert", tls, configuration) if tls else None


def sealed_memory(settings: WebSettings) -> int:
    """Write settings into sealed memory, and return its descriptor, which is the caller's."""
    return memfd.sealed("web", json.dumps(structure.to_data(settings)).encode())


class _Reader:
    """One reading, in which `files` gathers what was opened."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def text(self, path: str, place: Problem) -> str:
        """Read one file; `place` is where a Problem with it belongs."""
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - fstat of what is read, not of what has its name by then
                self.files[path] = state(os.fstat(file.fileno()))
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ValueError(f"has more than {MAX_BYTES >> 20} MiB; is it the right file?")
            return data.decode()
        except OSError as error:
            fault = f"cannot be read: {error.strerror}; probed reads it as the user that it was started as"
        except UnicodeDecodeError as error:
            fault = f"is not UTF-8: {error.reason} at byte {error.start}; PEM and YAML are text"
        except ValueError as error:
            fault = str(error)
        what = f"'{path}' {fault}" if place.key else fault
        raise DeclarationError([Problem(place.path, place.line, place.key, what)])

    def tls(self, tls: TlsServer, configuration: WebConfiguration) -> TlsSettings:
        only13 = tls.cipher_suites and not tls.ciphers
        settings = TlsSettings(
            certificate=self.part("cert", tls, configuration),
            key=self.part("key", tls, configuration),
            client_ca=self.part("client_ca", tls, configuration),
            client_auth=tls.client_auth,
            allowed_sans=tls.client_allowed_sans,
            minimum="TLS13" if only13 or tls.min_version == "TLS13" else "TLS12",
            maximum="TLS13" if tls.max_version == "TLS13" else "TLS12",
            ciphers=":".join(tls.ciphers),
            server_preference=tls.prefer_server_cipher_suites,
            curve=tls.curve,
        )
        _try(settings, tls, configuration)
        return settings

    def part(self, part: str, tls: TlsServer, configuration: WebConfiguration) -> str:
        """Return `part` as text: its own, that of its file, or none."""
        name = getattr(tls, f"{part}_file")
        if name is None:
            return getattr(tls, part) or ""
        key = ("tls_server_config", f"{part}_file")
        path = PurePath(configuration.source.path).parent / name
        return self.text(str(path), configuration.source.problem(key, ""))


def _try(settings: TlsSettings, tls: TlsServer, configuration: WebConfiguration) -> None:
    from probed.webconfig.tls import TlsError, context

    try:
        context(settings)
    except TlsError as error:
        part = f"{error.part}_file" if getattr(tls, f"{error.part}_file", None) else error.part
        problem = configuration.source.problem(("tls_server_config", part), error.text)
        raise DeclarationError([problem]) from error
