# SPDX-License-Identifier: Apache-2.0
"""Reads and checks the web configuration file and the files that it names, and makes `WebSettings`.

The loader calls it at the start and after a change of a file; `probed check` does too. The settings leave the loader in
sealed memory, so that the exporter needs no right to read a private key.
"""

from __future__ import annotations

import json
import os
from pathlib import PurePath

from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.linux import memfd
from probed.schema import strict_yaml, structure
from probed.webconfig import pem
from probed.webconfig.file import TlsServer, WebConfiguration
from probed.webconfig.settings import TlsSettings, WebSettings, WebSummary, state

MAX_BYTES = 1 << 20
"""Limit of a file's size. A bundle of all authorities that browsers know has a fifth of it."""


@frozen
class WebFiles:
    """The settings for the exporter, and their summary for the supervisor."""

    settings: WebSettings
    summary: WebSummary


def read(path: str, content: str | None = None) -> WebFiles:
    """Read the configuration and its files, and check TLS by making a context.

    `content` is the configuration's text where a caller has read it. Raises DeclarationError with every Problem.
    """
    reader = _Reader()
    configuration = reader.configuration(path, content)
    tls = configuration.tls_server_config
    settings = WebSettings(
        tls=reader.tls(tls, configuration) if tls and tls.enabled else None,
        headers=configuration.http_server_config.added_headers if configuration.http_server_config else {},
        users=configuration.basic_auth_users or {},
        interval=configuration.rate_limit.interval if configuration.rate_limit else 0.0,
        burst=configuration.rate_limit.burst if configuration.rate_limit else 0,
    )
    return WebFiles(settings, WebSummary(settings.tls is not None, len(settings.users), reader.files))


def certificate(path: str) -> str | None:
    """Return the certificate that a daemon presents, as PEM text; None without TLS. Raises DeclarationError.

    For clients: the private key is not read.
    """
    reader = _Reader()
    configuration = reader.configuration(path)
    tls = configuration.tls_server_config
    return pem.certificates(reader.part("cert", tls, configuration)) if tls and tls.enabled else None


def sealed_memory(settings: WebSettings) -> int:
    """Write settings into sealed memory; return the descriptor, which the caller closes."""
    return memfd.sealed("web", json.dumps(structure.to_data(settings)).encode())


class _Reader:
    """One reading of a configuration; `files` gathers the state of each file that was read."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def configuration(self, path: str, content: str | None = None) -> WebConfiguration:
        if content is None:
            data = self.data(path, Problem(path, 0, "", ""))
            try:
                content = data.decode()
            except UnicodeDecodeError as error:
                text = f"is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
                raise DeclarationError([Problem(path, 0, "", text)]) from error
        return strict_yaml.parse(WebConfiguration, content, path)

    def data(self, path: str, place: Problem) -> bytes:
        """Read one file. A Problem with the file has the place of `place`."""
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - fstat of the open file, whatever has its name by then
                self.files[path] = state(os.fstat(file.fileno()))
                data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                return data
            fault = f"has more than {MAX_BYTES >> 20} MiB; is it the right file?"
        except OSError as error:
            fault = f"cannot be read: {error.strerror}; probed reads it as the user that started probed"
        text = f"'{path}' {fault}" if place.key else fault
        raise DeclarationError([Problem(place.path, place.line, place.key, text)])

    def tls(self, tls: TlsServer, configuration: WebConfiguration) -> TlsSettings:
        only13 = tls.cipher_suites and not tls.ciphers
        settings = TlsSettings(
            certificate=pem.certificates(self.part("cert", tls, configuration)),
            key=pem.private_key(self.part("key", tls, configuration)),
            client_ca=pem.certificates(self.part("client_ca", tls, configuration)),
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

    def part(self, part: str, tls: TlsServer, configuration: WebConfiguration) -> bytes:
        """Return the bytes of `part`: those in the configuration, those of its file, or none."""
        name = getattr(tls, f"{part}_file")
        if name is None:
            return (getattr(tls, part) or "").encode()
        key = ("tls_server_config", f"{part}_file")
        path = PurePath(configuration.source.path).parent / name
        return self.data(str(path), configuration.source.problem(key, ""))


def _try(settings: TlsSettings, tls: TlsServer, configuration: WebConfiguration) -> None:
    from probed.webconfig.tls import TlsError, context

    try:
        context(settings)
    except TlsError as error:
        part = f"{error.part}_file" if getattr(tls, f"{error.part}_file", None) else error.part
        problem = configuration.source.problem(("tls_server_config", part), error.text)
        raise DeclarationError([problem]) from error
