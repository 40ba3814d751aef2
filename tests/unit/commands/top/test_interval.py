# SPDX-License-Identifier: Apache-2.0
"""The option --interval."""

from __future__ import annotations

import pytest

from probed.commands.top.interval import parse_interval


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("1m", 60.0), ("0.25", 0.25), ("1.5s", 1.5), ("100ms", 0.1)]
)
def test_an_interval_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_interval(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms", "5 s", "-1s", "1h", "1e3", "nan", "\u0665s"])
def test_another_text_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 500ms or 2s"):
        parse_interval(text)


@pytest.mark.parametrize("text", ["0", "99ms", "61m"])
def test_an_interval_has_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="from 100ms to 60m"):
        parse_interval(text)
