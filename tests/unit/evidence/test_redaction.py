# SPDX-License-Identifier: Apache-2.0
"""What looks like a secret is hidden, wherever it stands; other arguments stay, and no text takes long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.folding.fold_rules import MAX_LENGTH
from probed.evidence.redaction import DEFAULTS, MASK, MOST_SEARCHED, MOST_SHOWN, Redactor

SECRET = "hunter2-hunter2-hunter2"
REDACTOR = Redactor(DEFAULTS)


def redacted(*arguments: str) -> list[str]:
    return REDACTOR.redact("\0".join(arguments))[0].split("\0")


@pytest.mark.parametrize(
    "arguments",
    [
        ("client", f"--password={SECRET}"),
        ("client", "--password", SECRET),
        ("client", "-password", SECRET),
        ("client", f"--db-password={SECRET} with blanks"),
        ("client", f"--password='{SECRET}'"),
        ("client", "--access-token", SECRET, "--verbose"),
        ("client", "--api_key", SECRET),
        ("openssl", "rsa", "-passin", f"pass:{SECRET}"),
        ("mysql", "-u", "root", f"-p{SECRET}", "shop"),
        ("/usr/bin/mysqldump", f"-p{SECRET}"),
        ("mariadb-dump", "-u", "root", f"-p{SECRET}"),
        ("sshpass", "-p", SECRET, "ssh", "host"),
        ("redis-cli", "-h", "host", "-a", SECRET),
        ("sh", "-c", f"mysql -u root -p{SECRET} shop"),
        ("sh", "-c", f"curl --header 'Authorization: Bearer {SECRET}' http://host/"),
        ("env", f"TOKEN={SECRET}", "client"),
        ("env", f"PGPASSWORD={SECRET}", "psql"),
        ("env", f"MYSQL_PWD={SECRET}"),
        ("env", f"AWS_SECRET_ACCESS_KEY={SECRET}"),
        ("curl", "-H", f"Authorization: Bearer {SECRET}"),
        ("curl", "-H", f"authorization: basic {SECRET}"),
        ("curl", "-H", f"X-Api-Key: {SECRET}"),
        ("curl", "-H", f"Cookie: session={SECRET}"),
        ("curl", "-u", f"user:{SECRET}", "http://host/"),
        ("curl", f"--user=user:{SECRET}"),
        ("curl", f"-uuser:{SECRET}"),
        ("curl", "-d", f'{{"user": "me", "password": "{SECRET}"}}'),
        ("curl", f"https://user:{SECRET}@host/path"),
        ("curl", f"https://host/path?a=b&token={SECRET}"),
        ("git", "clone", f"https://{SECRET}@host/path"),
        ("psql", f"postgresql://user:{SECRET}@host:5432/shop"),
        ("client", f"ghp_{SECRET.replace('-', 'A')}"),
        ("client", f"xoxb-{SECRET}"),
        ("client", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}"),
        ("sh", "-c", f"echo '-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----'"),
        ("sh", "-c", f"echo <password>{SECRET}</password>"),
    ],
)
def test_a_secret_is_hidden(arguments: tuple[str, ...]) -> None:
    found = redacted(*arguments)
    assert not any(SECRET in each or SECRET[-8:] in each for each in found)
    assert MASK in "".join(found)
    assert found[0] == arguments[0]


def test_an_access_key_of_aws_is_hidden() -> None:
    assert redacted("aws", "AKIAIOSFODNN7EXAMPLE") == ["aws", MASK]


@pytest.mark.parametrize(
    "arguments",
    [
        ("ffmpeg", "-i", "a.mp4", "-c:v", "libx264", "-crf", "23", "b.mp4"),
        ("make", "-j8", "CC=gcc", "all"),
        ("curl", "-u", "user", "http://host:8080/path"),
        ("ssh", "-p", "22", "host"),
        ("grep", "-a", "text", "file"),
        ("sleep", "0.01"),
    ],
)
def test_other_arguments_stay(arguments: tuple[str, ...]) -> None:
    assert redacted(*arguments) == list(arguments)


@pytest.mark.parametrize("name", ["--password", "--token", "--client-secret", "--api-key"])
@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0*"), min_size=1, max_size=300))
def test_the_argument_after_a_secrets_option_never_shows(name: str, value: str) -> None:
    found = redacted("client", name, value, "last")
    assert found[:2] == ["client", name]
    assert found[-1] in ("last", MASK)
    if value.strip():
        assert found[2].strip() == MASK


@given(st.text(st.sampled_from("-=:/@ \0'\"aApPsSwWtTkKeEyY_.*"), max_size=400))
def test_a_redacted_text_stays_as_it_is(text: str) -> None:
    once, _ = REDACTOR.redact(text)
    assert REDACTOR.redact(once)[0] == once


@given(st.text(max_size=400), st.integers(0, 3))
def test_a_text_within_the_limit_is_not_cut(text: str, times: int) -> None:
    assert not REDACTOR.redact(text * times)[1]


def test_a_long_text_is_cut_where_no_part_of_a_secret_shows() -> None:
    for ahead in range(MOST_SEARCHED - 600, MOST_SEARCHED + 10):
        shown, is_cut = REDACTOR.redact(f"{'x' * (ahead - 1)} https://user:{SECRET}@host/ {'y' * 600}")
        assert is_cut
        assert len(shown) <= MOST_SHOWN
        assert "hun" not in shown


def test_an_expression_of_the_site_hides_its_group_or_the_whole_match() -> None:
    redactor = Redactor([r"card=(?P<secret>[0-9]+)", r"pin [0-9]+"])
    assert redactor.redact("pay card=4711 pin 23 now") == (f"pay card={MASK} {MASK} now", False)


@pytest.mark.parametrize(
    "piece",
    ["--token", "token", "a.", "mysql ", "mysql \0-", "://", "://a:", "://a:b@", "eyJaaaaaaaa.", "-u a:", "x\0"],
)
def test_no_text_makes_an_expression_try_many_ways(piece: str) -> None:
    """A search that took exponential or cubic time would not end within the test's limit of time."""
    for ending in ("", "!", "@"):
        REDACTOR.redact((piece * MOST_SEARCHED)[: MOST_SEARCHED - 1] + ending)


def test_defaults_are_within_the_limit_of_a_sites_expressions() -> None:
    assert all(len(each) <= MAX_LENGTH for each in DEFAULTS)
