# SPDX-License-Identifier: Apache-2.0
"""The man page lists the options of `probed run` as the parser has them."""

from __future__ import annotations

from pathlib import Path

from probed.commands import option_docs
from probed.commands.generated_text import renewed

PAGE = Path(__file__).parents[3] / "packaging/man/probed.8"


def test_the_options_of_run_are_up_to_date() -> None:
    text = PAGE.read_text()
    assert renewed(text, option_docs.SUBJECT, option_docs.man()) == text, "the options are stale: run 'make schema'"


def test_main_renews_the_lines_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "probed.8"
    page.write_text('before\n.\\" options of run: made by make schema\nold\n.\\" end of the options of run\nafter\n')
    assert option_docs.main([str(page)]) == 0
    first, _, *lines, _, last = page.read_text().splitlines()
    assert (first, lines, last) == ("before", list(option_docs.man()), "after")
