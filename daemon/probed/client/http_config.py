# SPDX-License-Identifier: Apache-2.0
"""TLS and authentication of the client, in Prometheus' dialect, for `list --live`, `doctor` and `top`.

promtool and amtool take the same file with the same option, --http.config.file; this module knows the keys that a
daemon can need. Secrets stand in files, because every user can read a command line. Source:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#http_config
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated

from probed.config import files
from probed.frozen import frozen
from probed.schema import strict_yaml
from probed.schema.rules import Line
from probed.schema.structure import Fault, Given, Rule, Source


def _verified(skipped: bool) -> bool:
    if skipped:
        raise ValueError(
            "any server would get the password; leave the key out: without ca_file the client expects the certificate "
            "of the site's web configuration"
        )
    return skipped


@frozen
class TlsClient:
    """TLS; paths are relative to the configuration file."""

    ca_file: Annotated[Line | None, "Authorities that the daemon's certificate is verified against."] = None
    cert_file: Annotated[Line | None, "The client's certificate."] = None
    key_file: Annotated[Line | None, "Its private key."] = None
    server_name: Annotated[Line | None, "The name in the daemon's certificate, where another than the address."] = None
    insecure_skip_verify: Annotated[bool, "Refused.", Rule(_verified)] = False

    def check(self) -> Iterator[Fault]:
        """Yield a certificate without key, or a key without certificate."""
        if (self.cert_file is None) != (self.key_file is None):
            yield (), "'cert_file' and 'key_file' belong together; write both"


@frozen
class Credentials:
    """A user's name and password."""

    username: Annotated[Line, "The user's name."]
    password: Annotated[str | None, "The password."] = None
    password_file: Annotated[Line | None, "The file with the password."] = None

    def check(self) -> Iterator[Fault]:
        """Yield a missing password, or two passwords."""
        if (self.password is None) == (self.password_file is None):
            yield (), "expected one of 'password' and 'password_file'"


@frozen
class HttpConfiguration:
    """The client's configuration file."""

    source: Given[Source]
    tls_config: Annotated[TlsClient | None, "TLS, where the site's own files do not configure it."] = None
    basic_auth: Annotated[Credentials | None, "The user."] = None

    def path(self, name: str) -> str:
        """Return a path of the file as a path that can be opened."""
        return str(PurePath(self.source.path).parent / name)

    def authorization(self) -> str:
        """Return the value of the header Authorization, "" for none. Raises DeclarationError."""
        auth = self.basic_auth
        if auth is None:
            return ""
        password = auth.password
        if auth.password_file is not None:
            password = files.read(self.path(auth.password_file), "it is 'password_file'").text.strip()
        return f"Basic {base64.b64encode(f'{auth.username}:{password}'.encode()).decode()}"


def read(path: str | None) -> HttpConfiguration:
    """Read the file where one is named. Raises DeclarationError."""
    if path is None:
        return HttpConfiguration(Source(""))
    text = files.read(path, "name it with --http.config.file").text
    return strict_yaml.parse(HttpConfiguration, text, path)
