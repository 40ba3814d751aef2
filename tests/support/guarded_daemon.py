# SPDX-License-Identifier: Apache-2.0
"""A daemon behind TLS and a password, with its authority and a client's certificate in the same folder."""

from __future__ import annotations

import base64
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import bcrypt
import yaml

from support.certificates import EC, Authority
from support.running_daemon import Daemon, site

USER = "prometheus"


class Guarded(Daemon):
    """``probed run`` with a web configuration, which `get`, `scrape` and the others use."""

    scheme: ClassVar[str] = "https"

    def __init__(
        self,
        folder: Path,
        configuration: Mapping[str, Any] | None = None,
        password: str = "",
        mutual: bool = False,
        key: Sequence[str] = EC,
    ) -> None:
        """Start the daemon; an empty `password` requires none, `mutual` requires a client certificate."""
        self.folder, self.password, self.mutual = folder, password, mutual
        self.authority = Authority(folder)
        self.authority.sign("server", "DNS:localhost", "IP:127.0.0.1", key=key)
        self.client = self.authority.sign("client", "DNS:prometheus.example")
        self.context = ssl.create_default_context(cafile=self.authority.certificate)
        self.context.load_cert_chain(self.client.certificate, self.client.key)
        self.configure_web(password)
        web = {"config_file": "web.yaml", "enable_lifecycle": True}
        super().__init__(folder, {**(configuration or site()), "web": web})

    def configure_web(self, password: str) -> None:
        """Write the web configuration."""
        tls: dict[str, Any] = {"cert_file": "server.pem", "key_file": "server.key"}
        if self.mutual:
            tls |= {
                "client_ca_file": "authority.pem", "client_auth_type": "RequireAndVerifyClientCert",
                "client_allowed_sans": ["prometheus.example"],
            }  # fmt: skip
        users = {USER: bcrypt.hashpw(password.encode(), bcrypt.gensalt(6)).decode()} if password else {}
        (self.folder / "web.yaml").write_text(yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": users}))

    @property
    def identity(self) -> Path:
        """The client's certificate and key in one file."""
        path = self.folder / "identity.pem"
        path.write_text(self.client.certificate.read_text() + self.client.key.read_text())
        return path

    def authorization(self, password: str) -> str:
        """Return the value of a header."""
        return f"Basic {base64.b64encode(f'{USER}:{password}'.encode()).decode()}"

    def ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        """Send a request, with the password if it has none; return the status and the body."""
        if self.password and not request.has_header("Authorization"):
            request.add_header("Authorization", self.authorization(self.password))
        return super().ask(request)

    def post(self, path: str, password: str) -> tuple[int, str]:
        """Send an empty POST with another password; return the status and the body."""
        headers = {"Authorization": self.authorization(password)}
        status, body = self.ask(urllib.request.Request(self.url(path), method="POST", headers=headers))
        return status, body.decode()
