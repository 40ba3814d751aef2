# SPDX-License-Identifier: Apache-2.0
"""The web configuration: TLS, client certificates, passwords, headers, in the dialect of Prometheus' exporter-toolkit.

Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. `webfiles` reads it and
what it names, and makes the `WebSettings` that the exporter is given. Pure; config/web.yaml tells users of it.
What the toolkit has and this server has not is refused with the reason, never passed over.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from probed.schema.rules import Line
from probed.schema.structure import Fault, Given, Rule, Source, pattern
from probed.webconfig.settings import ClientAuth

MAX_COST: Final = 15
"""Of bcrypt: 2 s or so on a machine of today, and every wrong password costs it."""

_OLD_VERSIONS: Final = ("TLS10", "TLS11")

_AUTH_TYPES: Final[Mapping[str, ClientAuth]] = {
    "NoClientCert": "none",
    "RequestClientCert": "none",
    "VerifyClientCertIfGiven": "optional",
    "RequireAndVerifyClientCert": "required",
}
"""A certificate that is only requested changes nothing in Go's server, so here it is not even requested."""

_UNVERIFIED: Final = ("RequireAnyClientCert", "RequireClientCert")

TLS13_SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Always on where TLS 1.3 is, here as in Go."""

SUITES: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""Suites up to TLS 1.2 by Go's names (crypto/tls, func CipherSuites), as OpenSSL calls them (openssl-ciphers(1))."""

CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""What may be added to answers, each with its values (none: any)."""

_SECONDS: Final[Mapping[str, float]] = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def _one_of(choices: Mapping[str, Any], what: str, *others: str) -> Rule:
    known = [*choices, *others]

    def apply(name: str) -> str:
        if name not in known:
            raise ValueError(f"'{name}' is no {what} that can be used; those are {', '.join(known)}")
        return name

    return Rule(apply, {"enum": known})


def _version(name: str) -> str:
    if name in _OLD_VERSIONS:
        raise ValueError(f"{name} is refused: RFC 8996 forbids it, and OpenSSL as Debian builds it; the least is TLS12")
    if name not in ("TLS12", "TLS13"):
        raise ValueError(f"expected TLS12 or TLS13, found '{name}'")
    return name


def _auth_type(name: str) -> str:
    if name in _UNVERIFIED:
        raise ValueError(
            f"{name} takes any certificate, also one that the client made itself, which proves nothing; "
            "write RequireAndVerifyClientCert"
        )
    if name not in _AUTH_TYPES:
        raise ValueError(f"expected {', '.join((*_AUTH_TYPES, *_UNVERIFIED[:1]))}, found '{name}'")
    return name


def _san(text: str) -> str:
    """Write an address as Python's `ssl` and Go agree on it; leave a name, e-mail address or URI as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _one_curve(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 1:
        raise ValueError("Python's ssl can be told one curve only: name the one, or none for OpenSSL's own order")
    return names


def _no_http2(wanted: bool) -> bool:
    if wanted:
        raise ValueError("this server speaks HTTP/1.1 only; write false, or leave the key out")
    return wanted


def _hash(text: str) -> str:
    parts = re.fullmatch(r"\$2[aby]?\$([0-9]{2})\$[./A-Za-z0-9]{53}", text)
    if parts is None:
        raise ValueError("expected a password hashed with bcrypt, as 'htpasswd -nBC 10 \"\"' prints it after the ':'")
    if not 4 <= int(parts[1]) <= MAX_COST:
        raise ValueError(f"cost {parts[1]} of bcrypt: from 4 to {MAX_COST} can be used, 10 is usual")
    return text


def _user(name: str) -> str:
    if ":" in name or not name.isprintable():
        raise ValueError("a user's name cannot hold ':' or control characters (RFC 7617)")
    return name


def _interval(written: str | int) -> float:
    """Read a duration of Go (``1m30s``, ``500ms``, 0) as seconds. Source: https://pkg.go.dev/time#ParseDuration."""
    text = str(written)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)", text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise ValueError(f"expected a duration such as 100ms, 1s or 1m30s, found '{text}'")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _pem(text: str) -> str:
    if "-----BEGIN " not in text:
        raise ValueError("expected PEM text (-----BEGIN …), with the block style '|' after the key")
    return text


Pem = Annotated[str, Rule(_pem)]
TlsVersion = Annotated[str, Rule(_version, {"enum": ["TLS12", "TLS13"]})]


@dataclass(frozen=True, slots=True)
class TlsServer:
    """TLS. Of each `cert`, `key`, `client_ca` and its file one may be there; files relative to the configuration."""

    cert: Annotated[Pem | None, "The certificate and its chain, as PEM text."] = None
    key: Annotated[Pem | None, "Its private key, as PEM text."] = None
    client_ca: Annotated[Pem | None, "The authorities that client certificates are verified against, as PEM text."] = (
        None
    )
    cert_file: Annotated[Line | None, "The file with the certificate and its chain."] = None
    key_file: Annotated[
        Line | None, "The file with its private key; the exporter's user need not be able to read it."
    ] = None
    client_ca_file: Annotated[Line | None, "The file with the authorities of client certificates."] = None
    client_auth_type: Annotated[
        str,
        "Whether clients need a certificate: RequireAndVerifyClientCert for those who do.",
        Rule(_auth_type, {"enum": list(_AUTH_TYPES)}),
    ] = "NoClientCert"
    client_allowed_sans: Annotated[
        tuple[Annotated[Line, Rule(_san)], ...],
        "A client's certificate must have one of these as a Subject Alternative Name.",
    ] = ()
    min_version: Annotated[TlsVersion, "The oldest TLS that is spoken."] = "TLS12"
    max_version: Annotated[TlsVersion, "The newest TLS that is spoken."] = "TLS13"
    cipher_suites: Annotated[
        tuple[Annotated[str, _one_of(SUITES, "cipher suite", *TLS13_SUITES)], ...],
        "Cipher suites up to TLS 1.2 by Go's names, the preferred first; none: OpenSSL's choice.",
    ] = ()
    prefer_server_cipher_suites: Annotated[bool, "Whether our order of suites counts, not the client's."] = True
    curve_preferences: Annotated[
        tuple[Annotated[str, _one_of(CURVES, "curve")], ...], "The elliptic curve.", Rule(_one_curve)
    ] = ()

    def check(self) -> Iterator[Fault]:
        """Find the faults that only several keys together show."""
        yield from self._alternatives()
        for what in ("cert", "key"):
            if getattr(self, what) is None and getattr(self, f"{what}_file") is None:
                yield (what,), f"TLS needs '{what}_file' (or '{what}')"
        if self.min_version > self.max_version:
            yield ("max_version",), f"{self.max_version} is older than min_version {self.min_version}"
        if self.max_version == "TLS12" and self.cipher_suites and not self.ciphers:
            yield ("cipher_suites",), "all of them are of TLS 1.3, which max_version excludes"
        yield from self._clients()

    def _alternatives(self) -> Iterator[Fault]:
        for what in ("cert", "key", "client_ca"):
            if getattr(self, what) is not None and getattr(self, f"{what}_file") is not None:
                yield (what,), f"'{what}' and '{what}_file' exclude each other; remove one"

    def _clients(self) -> Iterator[Fault]:
        given = self.client_ca is not None or self.client_ca_file is not None
        if self.client_auth in ("optional", "required") and not given:
            yield ("client_auth_type",), f"{self.client_auth_type} needs 'client_ca_file' (or 'client_ca')"
        if given and self.client_auth == "none":
            yield (
                ("client_auth_type",),
                "authorities for clients, but no client is verified: write RequireAndVerifyClientCert",
            )
        if self.client_allowed_sans and self.client_auth != "required":
            yield (
                ("client_allowed_sans",),
                "without a certificate nothing is compared: it needs RequireAndVerifyClientCert",
            )

    @property
    def client_auth(self) -> ClientAuth:
        """What is asked of clients."""
        return _AUTH_TYPES[self.client_auth_type]

    @property
    def ciphers(self) -> tuple[str, ...]:
        """The suites up to TLS 1.2 by OpenSSL's names."""
        return tuple(SUITES[name] for name in self.cipher_suites if name in SUITES)

    @property
    def curve(self) -> str:
        """The curve by OpenSSL's name, empty where none is chosen."""
        return CURVES[self.curve_preferences[0]] if self.curve_preferences else ""


@dataclass(frozen=True, slots=True)
class HttpServer:
    """HTTP."""

    http2: Annotated[bool, "HTTP/2, which this server does not speak.", Rule(_no_http2, {"const": False})] = False
    headers: Annotated[
        Mapping[Annotated[str, _one_of(HEADERS, "header")], Annotated[Line, pattern("[ -~]+", "printable ASCII")]]
        | None,
        "Headers that every answer gets.",
    ] = None

    def check(self) -> Iterator[Fault]:
        """Find values that a header does not have."""
        for name, value in (self.headers or {}).items():
            if HEADERS[name] and value not in HEADERS[name]:
                yield ("headers", name), f"expected {' or '.join(HEADERS[name])}, found '{value}'"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket over all requests; beyond it they get 429."""

    interval: Annotated[
        float, "Time after which one more request is let in; 0: no limit.", Rule(_interval, raw=str | int)
    ]
    burst: Annotated[int, "Requests that may come at once."] = 0

    def check(self) -> Iterator[Fault]:
        """Find a bucket that never lets anything in."""
        if self.interval and self.burst < 1:
            yield ("burst",), f"a burst of {self.burst} lets no request in at all; write 1 at least"


@dataclass(frozen=True, slots=True)
class WebConfiguration:
    """The web configuration file."""

    source: Given[Source]
    tls_server_config: Annotated[TlsServer | None, "TLS; without it plain HTTP is served."] = None
    http_server_config: Annotated[HttpServer | None, "HTTP."] = None
    basic_auth_users: Annotated[
        Mapping[Annotated[str, Rule(_user)], Annotated[str, Rule(_hash)]] | None,
        "Who may ask for any page: user's name: password hashed with bcrypt. None: nobody is asked.",
    ] = None
    rate_limit: Annotated[RateLimit | None, "How many requests are let in."] = None
