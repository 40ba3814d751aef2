# SPDX-License-Identifier: Apache-2.0
"""Hold the docstrings and comments of the daemon and the tests to the limits of `support.prose`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support import prose

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("daemon", "tests")

EXEMPT: Final[dict[str, str]] = {
    "daemon/probed/client": "web",
    "daemon/probed/commands": "commands",
    "daemon/probed/config": "config",
    "daemon/probed/exporter": "core",
    "daemon/probed/schema": "config",
    "daemon/probed/webconfig": "web",
    "tests/unit/client": "web",
    "tests/unit/commands": "commands",
    "tests/unit/config": "config",
    "tests/unit/exporter": "core",
    "tests/unit/schema": "config",
    "tests/unit/webconfig": "web",
}
"""Paths that are not yet rewritten, and the area that rewrites each; a rewritten path leaves this table."""


def files_below(tree: str) -> list[Path]:
    """Return the Python files of a tree without the exempt ones."""
    exempt = [ROOT / path for path in EXEMPT]
    files = prose.python_files([ROOT / tree])
    return [file for file in files if not any(file.is_relative_to(path) for path in exempt)]


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("name", prose.LIMITS)
def test_hard_words_are_rare(tree: str, name: str) -> None:
    limit, words = prose.LIMITS[name]
    found = prose.frequencies(files_below(tree))[name]
    assert found <= limit, f"{tree}: {found:.1f} of {', '.join(words)} in 1,000 words; the limit is {limit}"


@pytest.mark.parametrize("tree", TREES)
def test_the_first_line_of_a_docstring_is_short(tree: str) -> None:
    assert prose.long_first_lines(files_below(tree)) == []


@pytest.mark.parametrize("path", EXEMPT)
def test_an_exempt_path_exists(path: str) -> None:
    assert (ROOT / path).exists()
