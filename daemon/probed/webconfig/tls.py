# SPDX-License-Identifier: Apache-2.0
"""TLS settings to a context of Python's `ssl`.

The loader makes one to see whether certificate, key and authorities are good; the exporter makes the one that it serves
with. Nobody imports this where no web configuration asks for TLS.
"""

from __future__ import annotations

import os
import ssl

from probed.webconfig.settings import TlsSettings

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsError(Exception):
    """OpenSSL refuses a part of the settings: `part` is ``cert``, ``key``, ``client_ca`` or a key of the file."""

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
        if f"{what}-----" not in text:
            raise TlsError(part, f"there is no {what.lower()} in it (PEM, -----BEGIN … {what}-----)")
    _load(made, f"{settings.key}\n{settings.certificate}\n")
    _verify(made, settings)
    return made


def _choose(made: ssl.SSLContext, settings: TlsSettings) -> None:
    try:
        if settings.ciphers:
            made.set_ciphers(settings.ciphers)
    except ssl.SSLError as error:
        raise TlsError("cipher_suites", f"OpenSSL has none of them ({error.reason})") from error
    try:
        if settings.curve:
            made.set_ecdh_curve(settings.curve)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError("curve_preferences", f"OpenSSL does not have this curve: {error}") from error


def _load(made: ssl.SSLContext, pem: str) -> None:
    """Load certificate and key: Python's `ssl` takes files only, so they stand in memory that has no name."""
    fd = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(pem.encode())
        made.load_cert_chain(f"/proc/self/fd/{fd}", password=_refuse_password)
    except _Encrypted as error:
        raise TlsError("key", "the private key is encrypted, and nobody is there to type a password") from error
    except ssl.SSLError as error:
        raise TlsError(*_cause(error)) from error
    finally:
        os.close(fd)


class _Encrypted(Exception):
    """OpenSSL asked for a password."""


def _refuse_password() -> str:
    raise _Encrypted


def _cause(error: ssl.SSLError) -> tuple[str, str]:
    reason = error.reason or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return "key", "the private key is not that of the certificate: do both belong together?"
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return "cert", f"OpenSSL finds it too weak ({reason})"
    return "cert", f"OpenSSL cannot use certificate and private key: is one of them cut short? ({reason})"


def _verify(made: ssl.SSLContext, settings: TlsSettings) -> None:
    made.verify_mode = _VERIFY[settings.client_auth]
    if settings.client_auth == "none":
        return
    try:
        made.load_verify_locations(cadata=settings.client_ca)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError("client_ca", f"the authorities are no whole PEM certificates ({error})") from error
