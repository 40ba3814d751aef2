# SPDX-License-Identifier: Apache-2.0
"""Values of the options of `probed tail`."""

from __future__ import annotations

import errno

import pytest

from probed.tail.arguments import parse_count, parse_duration, parse_errno, parse_number


@pytest.mark.parametrize(("text", "nanoseconds"), [("10ms", 10**7), ("1.5s", 1_500_000_000), ("2m", 120 * 10**9)])
def test_a_duration_has_a_unit(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["10", "ms", "-1s", "1 s", "1e3s", "٣s", "1d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 10ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("EMFILE", errno.EMFILE), ("enoent", errno.ENOENT), ("13", 13), ("EWOULDBLOCK", errno.EAGAIN)],
)
def test_an_errno_has_a_name_or_a_number(text: str, number: int) -> None:
    assert parse_errno(text) == number


@pytest.mark.parametrize("text", ["EMFIL", "0", "-2", "4096", "²"])
def test_other_errnos_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no errno is called"):
        parse_errno(text)


def test_an_id_is_a_number_of_32_bits() -> None:
    assert parse_number("0") == 0
    for text in ("-1", "root", "4294967296"):
        with pytest.raises(ValueError, match="expected an id"):
            parse_number(text)


def test_a_count_is_above_0() -> None:
    assert parse_count("3") == 3
    with pytest.raises(ValueError, match="above 0"):
        parse_count("0")
