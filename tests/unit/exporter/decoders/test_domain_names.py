# SPDX-License-Identifier: Apache-2.0
"""Domain names as on the wire become text that prints, distinct for distinct names, and says what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.decoders.domain_names import CUT, MOST_OF_LABEL, MOST_OF_NAME, domain_name
from probed.exporter.decoders.fold import folded
from probed.ipc.manifest import ResolvedFoldRule

README = Path(__file__).parents[4] / "probes" / "README.md"
ROOM = 64


def wire(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def as_read(name: bytes, room: int = ROOM) -> bytes:
    """Return what bpf_probe_read_kernel_str() leaves in an array of zeros."""
    return name[: name.find(b"\0")][: room - 1].ljust(room, b"\0")


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ((b"www", b"example", b"com"), "www.example.com"),
        ((b"com",), "com"),
        ((), "."),
        ((b"WwW", b"EXAMPLE", b"Com"), "www.example.com"),
        ((b"_dns-sd", b"_udp", b"local"), "_dns-sd._udp.local"),
        ((b"xn--bcher-kva", b"example"), "xn--bcher-kva.example"),
        ((b"a.b", b"c"), r"a\.b.c"),
        ((rb"a\b", b"c"), r"a\\b.c"),
        ((b"a b\n\x7f\xff", b"c"), r"a\032b\010\127\255.c"),
        (("Ä".encode(), b"de"), r"\195\132.de"),
        ((b"[cut]",), r"\[cut]"),
        ((b'"', b"@", b";", b"=", b"{}"), '".@.;.=.{}'),
    ],
)
def test_a_name_is_text_in_lower_case(labels: tuple[bytes, ...], text: str) -> None:
    assert domain_name(wire(*labels).ljust(ROOM, b"\0")) == text
    assert domain_name(as_read(wire(*labels))) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x03www\xc0\x0c", "www.[cut]"),
        (b"\xc0\x0c", "[cut]"),
        (b"\x03www\x40abc", "www.[cut]"),
        (b"\x03www\x80abc", "www.[cut]"),
        (b"\x3fabc", "[cut]"),
    ],
)
def test_a_name_ends_at_a_pointer_or_a_wrong_length(raw: bytes, text: str) -> None:
    assert domain_name(raw.ljust(16, b"\0")) == text


@pytest.mark.parametrize("read", [as_read, lambda name, room: name[:room].ljust(room, b"\0")])
def test_a_name_without_room_has_its_whole_labels_and_the_mark(read: object) -> None:
    assert callable(read)
    name = wire(b"aa", b"bbb", b"cccc")
    texts = [domain_name(read(name, room)) for room in range(2, len(name) + 2)]
    assert texts == [CUT] * 2 + [f"aa.{CUT}"] * 4 + [f"aa.bbb.{CUT}"] * 5 + [f"aa.bbb.cccc.{CUT}"] + ["aa.bbb.cccc"]


def test_bytes_behind_the_root_change_nothing() -> None:
    assert domain_name(wire(b"example", b"com") + b"\0\1\0\1cookie") == "example.com"


def test_a_label_that_a_zero_ends_is_cut_where_the_name_was_read_as_a_string() -> None:
    assert domain_name(as_read(wire(b"www", b"a\0b", b"c"))) == f"www.{CUT}"
    assert domain_name(wire(b"www", b"a\0b", b"c").ljust(ROOM, b"\0")) == r"www.a\000b.c"


def test_no_name_is_longer_than_the_protocol_s() -> None:
    longest = wire(*[b"a" * MOST_OF_LABEL] * 3, b"b" * 61)
    assert len(longest) == MOST_OF_NAME
    assert domain_name(longest.ljust(512, b"\0")) == ".".join(["a" * MOST_OF_LABEL] * 3 + ["b" * 61])
    longer = wire(*[b"a" * MOST_OF_LABEL] * 3, b"b" * 62)
    assert domain_name(longer.ljust(512, b"\0")).endswith(f"b.{CUT}")
    assert len(domain_name(b"\1\xff" * 256)) == len(r".\255") * 127 + len(CUT)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ((b"a", b"b", b"example", b"com"), "example.com"),
        ((b"example", b"com"), "example.com"),
        ((b"com",), "com"),
        ((), "."),
    ],
)
def test_the_rule_of_the_documents_keeps_the_last_two_labels(labels: tuple[bytes, ...], text: str) -> None:
    (rule,) = re.findall(r"`\{match: '(.*)', replace: '(.*)'\}` keeps the last two labels", README.read_text())
    fold = folded(domain_name, [ResolvedFoldRule(*rule)])
    assert fold(wire(*labels).ljust(ROOM, b"\0")) == text


labels = st.lists(st.binary(min_size=1, max_size=8), max_size=5)


@given(labels, labels)
def test_distinct_names_stay_distinct(one: list[bytes], other: list[bytes]) -> None:
    texts = [domain_name(wire(*name).ljust(ROOM, b"\1")) for name in (one, other)]
    assert (texts[0] == texts[1]) == (list(map(bytes.lower, one)) == list(map(bytes.lower, other)))
    assert not any(text.endswith(CUT) for text in texts)


@given(st.binary(min_size=2, max_size=300))
def test_any_bytes_become_text_that_prints(raw: bytes) -> None:
    text = domain_name(raw)
    assert re.fullmatch(r"[!-~]{1,1024}", text)
    assert text == text.lower()


def parsed(text: str) -> bytes:
    """Return the name on the wire that text in a zone file stands for: RFC 1035, section 5.1."""
    found = [re.findall(r"\\\d{3}|\\\D|[^\\.]", label) for label in re.findall(r"(?:\\\d{3}|\\\D|[^\\.])+", text)]
    return wire(*(bytes(int(each[1:]) if each[1:].isdigit() else ord(each[-1]) for each in label) for label in found))


@given(labels)
def test_a_zone_file_s_parser_reads_the_same_name(name: list[bytes]) -> None:
    assert parsed(domain_name(wire(*name).ljust(ROOM, b"\1"))) == wire(*name).lower()
