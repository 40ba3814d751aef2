# SPDX-License-Identifier: Apache-2.0
"""Who asks a daemon that wants to know, in the dialect of Prometheus: `list --live` and `doctor` ask.

promtool and amtool take the same file with the same option, --http.config.file; of it there is here what the daemon can
ask for. Secrets stand in files, never on a command line, which everybody can read. Source:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#http_config
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from probed.config import files
from probed.schema import strict_yaml
from probed.schema.rules import Line
from probed.schema.structure import Fault, Given, Rule, Source


def _verified(skipped: bool) -> bool:
    if skipped:
        raise ValueError(
            "whoever answers would be told the password; leave it out: without ca_file the certificate is to be the "
            "one that the site's web configuration names"
        )
    return skipped


@dataclass(frozen=True, slots=True)
class TlsClient:
    """TLS; files relative to the configuration."""

    ca_file: Annotated[Line | None, "Authorities that the daemon's certificate is verified against."] = None
    cert_file: Annotated[Line | None, "The certificate to show."] = None
    key_file: Annotated[Line | None, "Its private key."] = None
    server_name: Annotated[Line | None, "The name in the daemon's certificate, where that is not the address."] = None
    insecure_skip_verify: Annotated[bool, "Refused.", Rule(_verified)] = False

    def check(self) -> Iterator[Fault]:
        """Find half of what belongs together."""
        if (self.cert_file is None) != (self.key_file is None):
            yield (), "'cert_file' and 'key_file' belong together; write both"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password."""

    username: Annotated[Line, "The user's name."]
    password: Annotated[str | None, "The password."] = None
    password_file: Annotated[Line | None, "The file with the password."] = None

    def check(self) -> Iterator[Fault]:
        """Find no password, or two."""
        if (self.password is None) == (self.password_file is None):
            yield (), "expected one of 'password' and 'password_file'"


@dataclass(frozen=True, slots=True)
class HttpConfiguration:
    """The file."""

    source: Given[Source]
    tls_config: Annotated[TlsClient | None, "TLS, where the site's own files do not tell of it."] = None
    basic_auth: Annotated[Credentials | None, "Who asks."] = None

    def path(self, name: str) -> str:
        """Return a path of the file as one that can be opened."""
        return str(PurePath(self.source.path).parent / name)

    def authorization(self) -> str:
        """Return the value of the header, empty for none. Raises DeclarationError."""
        auth = self.basic_auth
        if auth is None:
            return ""
        password = auth.password
        if auth.password_file is not None:
            password = files.read(self.path(auth.password_file), "it is 'password_file'").text.strip()
        return f"Basic {base64.b64encode(f'{auth.username}:{password}'.encode()).decode()}"


def read(path: str | None) -> HttpConfiguration:
    """Read the file, if there is one. Raises DeclarationError."""
    if path is None:
        return HttpConfiguration(Source(""))
    text = files.read(path, "name it with --http.config.file").text
    return strict_yaml.parse(HttpConfiguration, text, path)
