# SPDX-License-Identifier: Apache-2.0
"""Texts take columns of the terminal, and are cut by them."""

from __future__ import annotations

import pytest

from probed.text_width import cut, width_of


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("試験", 4), ("e\u0301", 1), ("", 0)])
def test_the_width_counts_wide_and_combining_characters(text: str, width: int) -> None:
    assert width_of(text) == width


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("東京都", 6, "東京都"),
        ("東京都", 5, "東京…"),
        ("abcd", 1, "…"),
        ("a", 0, ""),
    ],
)
def test_a_text_is_cut_by_columns_of_the_terminal(text: str, width: int, expected: str) -> None:
    assert cut(text, width, "…") == expected
