# SPDX-License-Identifier: Apache-2.0
"""The web configuration file: TLS, client certificates, passwords, headers and a rate limit, in the toolkit's dialect.

The dialect is that of Prometheus' exporter-toolkit. Source: docs/web-configuration.md and web/tls_config.go of
https://github.com/prometheus/exporter-toolkit. `reader` reads the file and the files that it names. The classes refuse
options of the toolkit that this server lacks, each with the reason. config/web.yaml shows users all options. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from probed.frozen import frozen
from probed.schema.rules import Line
from probed.schema.structure import Fault, Given, Rule, Source
from probed.webconfig.settings import ClientAuth

MAX_COST: Final = 15
"""Limit of bcrypt's cost: about 2 s of CPU time for every wrong password."""

_MAX_NANOSECONDS: Final = (1 << 63) - 1
"""Limit of Go's time.Duration."""

_OLD_VERSIONS: Final = ("TLS10", "TLS11")

_AUTH_TYPES: Final[Mapping[str, ClientAuth]] = {
    "NoClientCert": "none",
    "RequestClientCert": "none",
    "VerifyClientCertIfGiven": "optional",
    "RequireAndVerifyClientCert": "required",
}
"""RequestClientCert changes nothing in Go's server, so this server requests no certificate either."""

_UNVERIFIED: Final = ("RequireAnyClientCert", "RequireClientCert")

TLS13_SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Suites of TLS 1.3, which OpenSSL and Go always offer with TLS 1.3."""

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
"""Suites up to TLS 1.2: Go's names (crypto/tls, func CipherSuites) to OpenSSL's (openssl-ciphers(1))."""

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
"""Headers that a site may add to answers, each with its permitted values; none listed: any value."""

_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600,
}  # fmt: skip
"""Units of Go's durations; the letter for micro may be U+00B5 or U+03BC."""

_DURATION_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)

_SALT_ENDS: Final = ".Oeu"
_HASH_ENDS: Final = ".CGKOSWaeimquy26"
"""Last characters of salt and hash in bcrypt's base64: 22 characters hold 128 bits, 31 hold 184, the rest is 0."""

_BCRYPT_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _one_of(choices: Mapping[str, Any], noun: str, *others: str) -> Rule:
    known = [*choices, *others]

    def apply(name: str) -> str:
        if name not in known:
            raise ValueError(f"'{name}' is no supported {noun}; supported are {', '.join(known)}")
        return name

    return Rule(apply, {"enum": known})


def _version(name: str) -> str:
    if name in _OLD_VERSIONS:
        raise ValueError(f"{name} is refused, because RFC 8996 forbids the version; write TLS12 or TLS13")
    if name not in ("TLS12", "TLS13"):
        raise ValueError(f"expected TLS12 or TLS13, found '{name}'")
    return name


def _auth_type(name: str | None) -> str | None:
    if name is None:
        return name
    if name in _UNVERIFIED:
        raise ValueError(
            f"{name} accepts a certificate that the client signed, which proves nothing; "
            "write RequireAndVerifyClientCert"
        )
    if name not in _AUTH_TYPES:
        raise ValueError(f"expected {', '.join((*_AUTH_TYPES, *_UNVERIFIED[:1]))}, found '{name}'")
    return name


def _san(text: str) -> str:
    """Return an IP address in the form of Python's `ssl` and Go; return a name, e-mail address or URI unchanged."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _one_curve(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 1:
        raise ValueError("Python's ssl takes one curve only; name one, or none for OpenSSL's own order")
    return names


def _no_http2(wanted: bool) -> bool:
    if wanted:
        raise ValueError("this server speaks HTTP/1.1 only; write false, or leave the key out")
    return wanted


def _hash(text: str) -> str:
    """Check a bcrypt hash, and return the form that Python's bcrypt verifies.

    Go's bcrypt takes ``$2$`` for the present algorithm, and ignores the unused bits of the salt's last character.
    Python's library refuses the first and never matches the second, so both are written anew.
    """
    parts = re.fullmatch(r"\$2([aby]?)\$([0-9]{2})\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})", text)
    if parts is None:
        raise ValueError("expected a password hashed with bcrypt, as 'htpasswd -nBC 10 \"\"' prints it after the ':'")
    version, cost, salt, digest = parts.groups()
    if not 4 <= int(cost) <= MAX_COST:
        raise ValueError(f"cost {cost} of bcrypt; expected 4 to {MAX_COST}, 10 is usual")
    if digest[-1] not in _HASH_ENDS:
        raise ValueError(f"no bcrypt hash ends in '{digest[-1]}', so no password would match; copy the hash again")
    end = _SALT_ENDS[_BCRYPT_ALPHABET.index(salt[-1]) // 16]
    return f"$2{version or 'b'}${cost}${salt[:-1]}{end}{digest}"


def _user(name: str | int) -> str:
    text = str(name)
    if ":" in text or not text.isprintable():
        raise ValueError("a user's name cannot hold ':' or control characters (RFC 7617)")
    return text


def _interval(written: str | int) -> float:
    """Read a duration of Go as seconds: ``1m30s``, ``.5s``, or an integer of nanoseconds; below 0 means no limit.

    Sources: https://pkg.go.dev/time#ParseDuration, and `time.Duration` in https://pkg.go.dev/gopkg.in/yaml.v2.
    """
    if isinstance(written, int):
        seconds = written * 1e-9
    else:
        sign, unsigned = ("-", written[1:]) if written.startswith("-") else ("", written.removeprefix("+"))
        parts = _DURATION_PART.findall(unsigned)
        if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
            raise ValueError(f"expected a duration such as 100ms, 1s or 1m30s, found '{written}'")
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts) * (-1 if sign else 1)
    if abs(seconds) * 1e9 > _MAX_NANOSECONDS:
        raise ValueError(f"expected a duration of less than 292 years, found '{written}'")
    return max(0.0, seconds)


def _burst(requests: int) -> int:
    return max(0, requests)


def _header(value: str | int) -> str:
    text = str(value)
    if re.fullmatch("[ -~]*", text) is None or text != text.strip():
        raise ValueError("expected one line of printable ASCII, without blanks around it")
    return text


def _pem(text: str) -> str:
    if "-----BEGIN " not in text:
        raise ValueError("expected PEM text (-----BEGIN …); write '|' after the key, and the text indented below")
    return text


Pem = Annotated[str, Rule(_pem)]
TlsVersion = Annotated[str, Rule(_version, {"enum": ["TLS12", "TLS13"]})]


@frozen
class TlsServer:
    """TLS. `cert`, `key` and `client_ca` exclude their files; paths are relative to the configuration file."""

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
        str | None,
        "RequireAndVerifyClientCert demands a certificate of each client.",
        Rule(_auth_type, {"enum": [*_AUTH_TYPES, None]}),
    ] = None
    client_allowed_sans: Annotated[
        tuple[Annotated[Line, Rule(_san)], ...],
        "A client's certificate must have one of these as a Subject Alternative Name.",
    ] = ()
    min_version: Annotated[TlsVersion, "The oldest permitted version."] = "TLS12"
    max_version: Annotated[TlsVersion, "The newest permitted version."] = "TLS13"
    cipher_suites: Annotated[
        tuple[Annotated[str, _one_of(SUITES, "cipher suite", *TLS13_SUITES)], ...],
        "Cipher suites up to TLS 1.2 by Go's names, the preferred first; none: OpenSSL's choice.",
    ] = ()
    prefer_server_cipher_suites: Annotated[bool, "Whether the server's order of suites precedes the client's."] = True
    curve_preferences: Annotated[
        tuple[Annotated[str, _one_of(CURVES, "curve")], ...], "The elliptic curve.", Rule(_one_curve)
    ] = ()

    def check(self) -> Iterator[Fault]:
        """Yield the faults between keys."""
        yield from self._alternatives()
        for part in ("cert", "key"):
            if self.enabled and getattr(self, part) is None and getattr(self, f"{part}_file") is None:
                yield (part,), f"TLS needs '{part}_file' (or '{part}')"
        if self.min_version > self.max_version:
            yield ("max_version",), f"{self.max_version} is older than min_version {self.min_version}"
        if self.max_version == "TLS12" and self.cipher_suites and not self.ciphers:
            yield ("cipher_suites",), "all of these suites are of TLS 1.3, which max_version excludes"
        yield from self._clients()

    def _alternatives(self) -> Iterator[Fault]:
        for part in ("cert", "key", "client_ca"):
            if getattr(self, part) is not None and getattr(self, f"{part}_file") is not None:
                yield (part,), f"'{part}' and '{part}_file' exclude each other; remove one"

    def _clients(self) -> Iterator[Fault]:
        given = self.client_ca is not None or self.client_ca_file is not None
        if self.client_auth in ("optional", "required") and not given:
            yield ("client_auth_type",), f"{self.client_auth_type} needs 'client_ca_file' (or 'client_ca')"
        if given and self.client_auth == "none":
            yield (
                ("client_auth_type",),
                "authorities for clients, but no client is verified; write RequireAndVerifyClientCert",
            )
        if self.client_allowed_sans and self.client_auth != "required":
            yield (
                ("client_allowed_sans",),
                "a client without certificate has no name to compare; this needs RequireAndVerifyClientCert",
            )

    @property
    def enabled(self) -> bool:
        """Whether the server speaks TLS: any key about certificates does it, as in the toolkit's `IsEnabled`."""
        parts = ("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type")
        return any(getattr(self, name) is not None for name in parts)

    @property
    def client_auth(self) -> ClientAuth:
        """Whether clients need a certificate."""
        return _AUTH_TYPES[self.client_auth_type or "NoClientCert"]

    @property
    def ciphers(self) -> tuple[str, ...]:
        """The suites up to TLS 1.2, by OpenSSL's names."""
        return tuple(SUITES[name] for name in self.cipher_suites if name in SUITES)

    @property
    def curve(self) -> str:
        """The curve by OpenSSL's name, "" for OpenSSL's order."""
        return CURVES[self.curve_preferences[0]] if self.curve_preferences else ""


@frozen
class HttpServer:
    """HTTP."""

    http2: Annotated[bool, "HTTP/2, which this server does not speak.", Rule(_no_http2, {"const": False})] = False
    headers: Annotated[
        Mapping[Annotated[str, _one_of(HEADERS, "header")], Annotated[str, Rule(_header, raw=str | int)] | None] | None,
        "Headers of every answer; an empty value leaves the header out.",
    ] = None

    def check(self) -> Iterator[Fault]:
        """Yield the values that a header does not permit."""
        for name, value in self.added_headers.items():
            if HEADERS[name] and value not in HEADERS[name]:
                yield ("headers", name), f"expected {' or '.join(HEADERS[name])}, found '{value}'"

    @property
    def added_headers(self) -> Mapping[str, str]:
        """The headers with a value."""
        return {name: value for name, value in (self.headers or {}).items() if value}


@frozen
class RateLimit:
    """A token bucket over all requests. The server answers requests without a token with status 429."""

    interval: Annotated[
        float, "Time after which the bucket gets one more token; 0: no limit.", Rule(_interval, raw=str | int)
    ] = 0.0
    burst: Annotated[int, "Size of the bucket; 0: with an interval, every request gets status 429.", Rule(_burst)] = 0


@frozen
class WebConfiguration:
    """The web configuration file."""

    source: Given[Source]
    tls_server_config: Annotated[TlsServer | None, "TLS; without it the server speaks plain HTTP."] = None
    http_server_config: Annotated[HttpServer | None, "HTTP."] = None
    basic_auth_users: Annotated[
        Mapping[Annotated[str, Rule(_user, raw=str | int)], Annotated[str, Rule(_hash)]] | None,
        "Users of all pages: name to password hashed with bcrypt. None: no authentication.",
    ] = None
    rate_limit: Annotated[RateLimit | None, "The rate of permitted requests."] = None
