# SPDX-License-Identifier: Apache-2.0
"""The prose of documents, man pages, dashboards and comments keeps to the limits of `support.prose`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support import document_prose as prose
from support import prose as python_prose
from support.prose import LIMITS, words

ROOT: Final = Path(__file__).parents[2]


def below(folders: str, pattern: str) -> list[Path]:
    """Return the files below some folders, sorted."""
    return sorted(path for folder in folders.split() for path in (ROOT / folder).rglob(pattern))


GROUPS: Final = {
    "documents": prose.markdown_files(ROOT),
    "man pages": below("packaging/man", "*.[58]"),
    "dashboards": below("deploy/grafana/dashboards", "*.json"),
    "YAML": [*below("config deploy probes", "*.yaml"), *below("deploy", "*.yml")],
    "C": below("probes", "*.[ch]"),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("group", GROUPS)
def test_texts_keep_to_the_limit(group: str, name: str) -> None:
    most = LIMITS[name][0]
    worst = sorted(GROUPS[group], key=lambda path: -prose.frequencies([path])[name])[:5]
    assert prose.frequencies(GROUPS[group])[name] <= most, f"{name}, most in {', '.join(map(str, worst))}"


@pytest.mark.parametrize("name", LIMITS)
def test_the_code_of_the_dashboards_keeps_to_the_limit(name: str) -> None:
    files = python_prose.python_files([ROOT / "deploy" / "grafana" / "boards", ROOT / "packaging"])
    assert python_prose.frequencies(files)[name] <= LIMITS[name][0]
    assert python_prose.long_first_lines(files) == []


def test_every_group_has_files() -> None:
    assert {name: len(files) > 1 for name, files in GROUPS.items()} == dict.fromkeys(GROUPS, True)


def test_markdown_leaves_out_code_and_addresses() -> None:
    text = "See [this](what.md):\n\n    what is code\n\n```c\nwho\n```\n<!-- whom -->\nA `whose` word.\n"
    assert words(prose.markdown(text)) == ["see", "this", "a", "word"]


def test_a_man_page_leaves_out_macros_and_examples() -> None:
    text = ".TH X 5\nRead \\fIit\\fR.\n.B what\n.EX\nwho\n.EE\nEnd \\- here.\n"
    assert words(prose.manual(text)) == ["read", "it", "end", "here"]


def test_a_dashboard_gives_titles_and_descriptions() -> None:
    text = '{"title": "One", "panels": [{"title": "Two", "description": "Three.", "expr": "four"}]}'
    assert words(prose.dashboard(text)) == ["one", "two", "three"]


def test_yaml_gives_comments_and_help() -> None:
    text = "# One.\nmetrics: # two\n  help: Three.\n  type: counter\nsummary: >-\n  four\n  five\nlabels: six\n"
    assert sorted(words(prose.yaml(text))) == ["five", "four", "one", "three", "two"]


def test_c_gives_comments() -> None:
    assert words(prose.c("int a; /* One\n * two. */\nint b; // three\n")) == ["one", "two", "three"]
