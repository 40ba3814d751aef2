# SPDX-License-Identifier: Apache-2.0
"""Makes a context of Python's `ssl` from TLS settings.

The loader makes a context to check certificate, key and authorities; the exporter makes the context of its server. Both
import this module only where a web configuration asks for TLS.
"""

from __future__ import annotations

import os
import ssl

from probed.webconfig.settings import TlsSettings

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsError(Exception):
    """OpenSSL refuses the settings; `part` is ``cert``, ``key``, ``client_ca`` or a key of the configuration file."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__(part, text)
        self.part = part
        self.text = text

    def __str__(self) -> str:
        return f"{self.part}: {self.text}"


def context(settings: TlsSettings) -> ssl.SSLContext:
    """Make the context of a server. Raises TlsError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[settings.minimum]
    made.maximum_version = _VERSIONS[settings.maximum]
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.server_preference:
        made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _choose(made, settings)
    for part, text, what in (("cert", settings.certificate, "CERTIFICATE"), ("key", settings.key, "PRIVATE KEY")):
        if not text:
            raise TlsError(part, f"no {what.lower()} in PEM format found; expected a block -----BEGIN {what}-----")
    _load(made, f"{settings.key}\n{settings.certificate}\n")
    _verify(made, settings)
    return made


def _choose(made: ssl.SSLContext, settings: TlsSettings) -> None:
    try:
        if settings.ciphers:
            made.set_ciphers(settings.ciphers)
    except ssl.SSLError as error:
        raise TlsError("cipher_suites", f"OpenSSL has none of these suites ({error.reason})") from error
    try:
        if settings.curve:
            made.set_ecdh_curve(settings.curve)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError("curve_preferences", f"OpenSSL does not have this curve: {error}") from error


def _load(made: ssl.SSLContext, pem: str) -> None:
    """Load certificate and key from a memfd, because Python's `ssl` reads files only."""
    fd = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(pem.encode())
        made.load_cert_chain(f"/proc/self/fd/{fd}", password=_refuse_password)
    except _Encrypted as error:
        raise TlsError(
            "key", "the private key is encrypted, and probed asks for no password; name a plain key"
        ) from error
    except ssl.SSLError as error:
        raise TlsError(*_cause(error)) from error
    finally:
        os.close(fd)


class _Encrypted(Exception):
    """OpenSSL asks for the password of a private key."""


def _refuse_password() -> str:
    raise _Encrypted


def _cause(error: ssl.SSLError) -> tuple[str, str]:
    reason = error.reason or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return "key", "the private key is not that of the certificate; name the key that belongs to the certificate"
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return "cert", f"OpenSSL finds the certificate too weak ({reason}); take a longer key or a newer digest"
    return "cert", f"OpenSSL cannot use certificate and private key ({reason}); is one of the files cut short?"


def _verify(made: ssl.SSLContext, settings: TlsSettings) -> None:
    made.verify_mode = _VERIFY[settings.client_auth]
    if settings.client_auth == "none":
        return
    try:
        made.load_verify_locations(cadata=settings.client_ca)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(
            "client_ca",
            f"the authorities are no whole PEM certificates ({error}); is the file cut?",
        ) from error
