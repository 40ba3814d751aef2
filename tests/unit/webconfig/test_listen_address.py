# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.webconfig.listen_address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9788", Address("127.0.0.1", 9788)),
        ("localhost:0", Address("localhost", 0)),
        (":9788", Address("", 9788)),
        ("[::1]:9788", Address("::1", 9788)),
        ("[::]:65535", Address("::", 65535)),
        ("host-1.example.org:80", Address("host-1.example.org", 80)),
        ("my_host:80", Address("my_host", 80)),
        ("localhost.:80", Address("localhost.", 80)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
    ],
)
def test_a_listen_address_is_host_and_port(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        "host:-1",
        "host:65536",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[host]:80",
        "[::1%]:80",
        "[1.2.3]:80",
        "a..b:80",
        ".:80",
        f"{'a.' * 128}a:80",
        "a b:80",
        "1.2.3:80",
    ],
)
def test_other_text_than_a_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|brackets"):
        parse_address(text)


def test_brackets_around_an_ipv4_address_are_left_out_as_in_go() -> None:
    assert parse_address("[127.0.0.1]:9788") == Address("127.0.0.1", 9788)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("9788", "':9788' would do"),
        ("localhost", "'localhost:9788' would do"),
        ("[::1]", "'[::1]:9788' would do"),
        ("::1:80", "in brackets: '[::1]:80'"),
        ("[fe80::1]:80", "'[fe80::1%eth0]:80'"),
    ],
)
def test_the_advice_is_an_address_that_is_accepted(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_address(text)
    proposal = re.search(r"'([^']+)'", advice)
    assert proposal
    parse_address(proposal[1])


@given(st.text(alphabet="a1:.[]-% /", max_size=12))
def test_any_text_is_a_listen_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address
