# SPDX-License-Identifier: Apache-2.0
"""Texts in messages end at a line, and say how much is left out."""

import json

from probed.ipc.message import MAX_TEXT, bounded


def test_a_short_text_stays_as_it_is() -> None:
    assert bounded("one\ntwo", 7) == "one\ntwo"


def test_a_long_text_ends_at_a_line_with_the_number_of_lines_left_out() -> None:
    assert bounded("one\ntwo\nthree\nfour", 9) == "one\ntwo\n… lines left out: 2"


def test_a_long_line_is_cut() -> None:
    assert bounded("abcdefgh", 3) == "abc\n… lines left out: 1"


def test_any_bounded_text_fits_into_a_message() -> None:
    assert len(json.dumps(bounded("\U0001f600" * 50_021))) < (256 << 10)
    assert MAX_TEXT * 12 < (256 << 10)
