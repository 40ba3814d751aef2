# SPDX-License-Identifier: Apache-2.0
"""Hold the docstrings and comments of the daemon and the tests to the limits of `support.prose`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support import prose

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("daemon", "tests")


def files_below(tree: str) -> list[Path]:
    """Return the Python files of a tree."""
    return prose.python_files([ROOT / tree])


@pytest.mark.parametrize("tree", TREES)
def test_hard_words_are_rare(tree: str) -> None:
    found = prose.frequencies(files_below(tree))
    for name, (limit, words) in prose.LIMITS.items():
        too_many = f"{tree}: {found[name]:.1f} of {', '.join(words)} in 1,000 words; the limit is {limit}"
        assert found[name] <= limit, too_many


@pytest.mark.parametrize("tree", TREES)
def test_the_first_line_of_a_docstring_is_short(tree: str) -> None:
    assert prose.long_first_lines(files_below(tree)) == []
