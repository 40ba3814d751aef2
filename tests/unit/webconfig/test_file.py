# SPDX-License-Identifier: Apache-2.0
"""The web configuration: accepted and refused keys, certificates and private keys."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import bcrypt
import pytest

from probed.commands import check
from probed.errors import DeclarationError
from probed.schema import structure
from probed.webconfig import reader, tls
from probed.webconfig.file import SUITES
from probed.webconfig.settings import WebSettings
from support.certificates import Authority, Signed

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
CLIENTS = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Signed:
    return authority.sign("server", "DNS:localhost")


def written(authority: Authority, text: str) -> str:
    path = authority.folder / "web.yaml"
    path.write_text(text)
    return str(path)


def settings(authority: Authority, text: str) -> WebSettings:
    return reader.read(written(authority, text)).settings


def refused(authority: Authority, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(DeclarationError) as caught:
        settings(authority, text)
    return [(problem.line, problem.key, problem.text) for problem in caught.value.problems]


def test_the_shipped_example_is_right_but_for_its_files(authority: Authority, server: Signed) -> None:
    shipped = (Path(__file__).parents[3] / "config/web.yaml").read_text()
    made = settings(authority, shipped.replace("clients-ca.pem", "authority.pem"))
    assert (made.tls is not None, list(made.users), made.headers["X-Frame-Options"]) == (True, ["prometheus"], "deny")


def test_all_that_can_be_said_comes_out_as_openssl_has_it(authority: Authority, server: Signed) -> None:
    made = settings(
        authority,
        TLS + CLIENTS + "  client_allowed_sans: [a.example, '0:0::1']\n  min_version: TLS12\n  max_version: TLS12\n"
        "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]\n"
        "  prefer_server_cipher_suites: false\n  curve_preferences: [CurveP256]\n"
        f"http_server_config: {{http2: false, headers: {{X-XSS-Protection: '0'}}}}\nbasic_auth_users: {{a: {HASH}}}\n"
        "rate_limit: {interval: 1m1.5s, burst: 3}\n",
    )
    assert made.tls is not None
    assert (made.tls.client_auth, made.tls.allowed_sans) == ("required", ("a.example", "::1"))
    assert (made.tls.minimum, made.tls.maximum, made.tls.server_preference) == ("TLS12", "TLS12", False)
    assert (made.tls.ciphers, made.tls.curve) == ("ECDHE-ECDSA-AES256-GCM-SHA384", "prime256v1")
    assert (made.headers, made.users) == ({"X-XSS-Protection": "0"}, {"a": HASH})
    assert (made.interval, made.burst) == (61.5, 3)
    assert (
        structure.build(WebSettings, json.loads(json.dumps(structure.to_data(made))), structure.Source("memory"))
        == made
    )


def test_openssl_has_every_cipher_suite_by_the_name_that_we_give_it(authority: Authority, server: Signed) -> None:
    made = settings(authority, TLS + f"  cipher_suites: [{', '.join(SUITES)}]\n")
    assert made.tls is not None
    context = tls.context(made.tls)
    known = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert known == set(SUITES.values())


def test_only_suites_of_tls_13_leave_only_tls_13(authority: Authority, server: Signed) -> None:
    made = settings(authority, TLS + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n")
    assert made.tls is not None
    assert (made.tls.minimum, made.tls.ciphers) == ("TLS13", "")


def test_certificates_and_keys_may_stand_in_the_file_itself(authority: Authority, server: Signed) -> None:
    def block(key: str, path: Path) -> str:
        return f"  {key}: |\n" + "".join(f"    {line}\n" for line in path.read_text().splitlines())

    inline = settings(
        authority,
        "tls_server_config:\n" + block("cert", server.certificate) + block("key", server.key)
        + block("client_ca", authority.certificate) + "  client_auth_type: VerifyClientCertIfGiven\n",
    )  # fmt: skip
    assert inline.tls is not None
    assert (inline.tls.key, inline.tls.client_auth) == (server.key.read_text(), "optional")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tls_server_confg: {}\n", (1, "tls_server_confg", "did you mean 'tls_server_config'")),
        (TLS + "  cert_fil: x\n", (4, "tls_server_config.cert_fil", "did you mean 'cert_file'")),
        (TLS + "  cert: x\n", (4, "tls_server_config.cert", "PEM text")),
        (TLS + "  cert: '-----BEGIN x'\n", (4, "tls_server_config.cert", "exclude each other")),
        (
            "tls_server_config: {client_auth_type: NoClientCert}\n",
            (1, "tls_server_config.cert", "TLS needs 'cert_file'"),
        ),
        (TLS + "  client_auth_type: Never\n", (4, "tls_server_config.client_auth_type", "RequireAndVerify")),
        (
            TLS + "  client_auth_type: RequireAnyClientCert\n",
            (4, "tls_server_config.client_auth_type", "proves nothing"),
        ),
        (TLS + "  client_auth_type: RequireClientCert\n", (4, "tls_server_config.client_auth_type", "proves nothing")),
        (TLS + "  client_auth_type: VerifyClientCertIfGiven\n", (4, "tls_server_config.client_auth_type", "client_ca")),
        (TLS + "  client_ca_file: authority.pem\n", (1, "tls_server_config.client_auth_type", "no client is verified")),
        (TLS + "  client_allowed_sans: [x]\n", (4, "tls_server_config.client_allowed_sans", "RequireAndVerify")),
        (TLS + "  min_version: TLS10\n", (4, "tls_server_config.min_version", "RFC 8996")),
        (TLS + "  min_version: TLS13\n  max_version: TLS12\n", (5, "tls_server_config.max_version", "older than")),
        (TLS + "  cipher_suites: [RC4]\n", (4, "tls_server_config.cipher_suites.0", "no supported cipher suite")),
        (
            TLS + "  curve_preferences: [X25519, CurveP256]\n",
            (4, "tls_server_config.curve_preferences", "one curve only"),
        ),
        (TLS.replace("server.pem", "gone.pem"), (2, "tls_server_config.cert_file", "No such file")),
        (TLS.replace("server.key", "server.pem"), (3, "tls_server_config.key_file", "no private key")),
        (TLS.replace("server.key", "authority.key"), (3, "tls_server_config.key_file", "not that of the certificate")),
        (TLS + CLIENTS.replace("authority.pem", "server.key"), (5, "tls_server_config.client_ca_file", "authorities")),
        ("http_server_config: {http2: true}\n", (1, "http_server_config.http2", "HTTP/1.1 only")),
        (
            "http_server_config:\n  headers: {Server: x}\n",
            (2, "http_server_config.headers.Server", "no supported header"),
        ),
        (
            "http_server_config:\n  headers: {X-Frame-Options: no}\n",
            (2, "http_server_config.headers.X-Frame-Options", ""),
        ),
        ('http_server_config:\n  headers: {X-XSS-Protection: "a\\r\\nb: c"}\n', (2, "http_server_config", "one line")),
        ("basic_auth_users: {a: secret}\n", (1, "basic_auth_users.a", "bcrypt")),
        (f"basic_auth_users: {{a: {HASH.replace('10', '16')}}}\n", (1, "basic_auth_users.a", "cost 16")),
        (f"basic_auth_users: {{'a:b': {HASH}}}\n", (1, "basic_auth_users.a:b", "RFC 7617")),
        ("rate_limit: {interval: 1 s, burst: 1}\n", (1, "rate_limit.interval", "1m30s")),
        ("rate_limit: {interval: 0.5}\n", (1, "rate_limit.interval", "expected text or an integer")),
        ("rate_limit: {interval: 3000000h}\n", (1, "rate_limit.interval", "292 years")),
        ("rate_limit: {interval: .s}\n", (1, "rate_limit.interval", "1m30s")),
        (f"basic_auth_users: {{a: {HASH[:-1]}1}}\n", (1, "basic_auth_users.a", "ends in '1'")),
        (f"basic_auth_users: {{a: {HASH.replace('$2y$', '$2x$')}}}\n", (1, "basic_auth_users.a", "bcrypt")),
    ],
)
def test_a_mistake_is_named_with_line_and_remedy(
    authority: Authority, server: Signed, text: str, problem: tuple[int, str, str]
) -> None:
    line, key, said = problem
    (found, *_) = refused(authority, text)
    assert (found[0], found[1].startswith(key), said in found[2]) == (line, True, True), found


def test_an_encrypted_key_is_refused_without_asking_for_its_password(authority: Authority, server: Signed) -> None:
    encrypted = authority.folder / "encrypted.key"
    command = ["openssl", "pkey", "-in", str(server.key), "-aes128", "-passout", "pass:x", "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True)
    ((_, key, text),) = refused(authority, TLS.replace("server.key", "encrypted.key"))
    assert (key, text) == (
        "tls_server_config.key_file",
        "the private key is encrypted, and probed asks for no password; name a plain key",
    )


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "tls_server_config: {}\n", "tls_server_config:\n", "tls_server_config: {min_version: TLS13}\n"],
)
def test_a_configuration_without_certificate_keys_is_plain_http(authority: Authority, text: str) -> None:
    path = written(authority, text)
    assert settings(authority, text) == WebSettings()
    assert reader.certificate(path) is None


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        ("500ms", 0.5), ("1m1.5s", 61.5), (".5s", 0.5), ("1.s", 1.0), ("500000000", 0.5), ("1us", 1e-6),
        ("1\u00b5s", 1e-6), ("1\u03bcs", 1e-6), ("+1s", 1.0), ("-1s", 0.0), ("'0'", 0.0), ("0", 0.0), ("-0", 0.0),
    ],
)  # fmt: skip
def test_an_interval_is_a_duration_of_go(authority: Authority, interval: str, seconds: float) -> None:
    assert settings(authority, f"rate_limit: {{interval: {interval}, burst: 2}}\n").interval == pytest.approx(seconds)


@pytest.mark.parametrize("limit", ["{interval: 1s}", "{interval: 1s, burst: 0}", "{interval: 1s, burst: -1}"])
def test_a_rate_limit_without_burst_is_accepted_as_the_toolkit_does(authority: Authority, limit: str) -> None:
    made = settings(authority, f"rate_limit: {limit}\n")
    assert (made.interval, made.burst) == (1.0, 0)


def test_a_header_may_be_a_number_and_an_empty_one_is_left_out(authority: Authority) -> None:
    headers = "{X-XSS-Protection: 1, X-Frame-Options: '', Content-Security-Policy: , X-Content-Type-Options: nosniff}"
    made = settings(authority, f"http_server_config: {{headers: {headers}}}\n")
    assert made.headers == {"X-XSS-Protection": "1", "X-Content-Type-Options": "nosniff"}


def test_a_user_name_may_be_a_number(authority: Authority) -> None:
    assert settings(authority, f"basic_auth_users: {{1000: {HASH}}}\n").users == {"1000": HASH}


@pytest.mark.parametrize("version", ["$2$", "$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("end", [".", "/", "A", "N"])
def test_a_password_matches_every_spelling_of_its_hash(authority: Authority, version: str, end: str) -> None:
    """The salt's last character has four unused bits, so its 64 values are four salts; Go ignores the bits."""
    salt = b"$2b$04$" + 21 * b"a" + b"."
    hashed = bcrypt.hashpw(b"sesame", salt).decode()
    spelled = f"{version}04${21 * 'a'}{end}{hashed[29:]}"
    users = settings(authority, f"basic_auth_users: {{ann: {spelled}}}\n").users
    assert bcrypt.checkpw(b"sesame", users["ann"].encode())
    assert not bcrypt.checkpw(b"guess", users["ann"].encode())


def test_text_around_the_blocks_of_a_pem_file_may_have_any_encoding(authority: Authority, server: Signed) -> None:
    plain = settings(authority, TLS + CLIENTS)
    for name in ("authority.pem", "server.pem", "server.key"):
        path = authority.folder / name
        (authority.folder / f"commented-{name}").write_bytes(b"# caf\xe9 \xff\r\n" + path.read_bytes() + b"\xe9\n")
    text = TLS.replace("server.", "commented-server.") + CLIENTS.replace("authority", "commented-authority")
    assert settings(authority, text) == plain


def test_certificates_inside_the_key_file_are_not_served(authority: Authority, server: Signed) -> None:
    old = authority.sign("old", "DNS:localhost")
    both = authority.folder / "both.pem"
    both.write_bytes(old.certificate.read_bytes() + server.key.read_bytes() + old.certificate.read_bytes())
    made = settings(authority, TLS.replace("server.key", "both.pem"))
    assert made.tls is not None
    assert (made.tls.certificate, made.tls.key) == (server.certificate.read_text(), server.key.read_text())


def test_the_memory_that_leaves_the_loader_is_sealed(authority: Authority) -> None:
    made = settings(authority, f"basic_auth_users: {{a: {HASH}}}\n")
    fd = reader.sealed_memory(made)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    assert json.loads(os.pread(fd, 1 << 16, 0)) == structure.to_data(made)
    os.close(fd)


def test_the_summary_names_every_file_that_was_read(authority: Authority, server: Signed) -> None:
    summary = reader.read(written(authority, TLS + CLIENTS)).summary
    assert {Path(path).name for path in summary.files} == {"web.yaml", "server.pem", "server.key", "authority.pem"}
    assert (summary.tls, summary.users) == (True, 0)


def test_an_endless_file_is_read_to_the_limit(authority: Authority, server: Signed) -> None:
    ((_, _, text),) = refused(authority, TLS.replace("server.pem", "/dev/zero"))
    assert "more than 1 MiB" in text


def test_check_takes_a_web_configuration(
    authority: Authority, server: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(authority, TLS + f"basic_auth_users: {{a: {HASH}}}\n")
    assert check.run([path], "", host=False) == 0
    assert capsys.readouterr().out == f"{path}: TLS, 1 users\n\n"
    assert check.run([written(authority, TLS + "  min_version: TLS11\n")], "", host=False) == 1
    assert ":4: tls_server_config.min_version: TLS11 is refused" in capsys.readouterr().err
