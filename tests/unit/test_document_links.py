# SPDX-License-Identifier: Apache-2.0
"""Links of Markdown documents lead to files and headings, and named modules exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from support.document_prose import markdown_files, without_code

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = markdown_files(ROOT)
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    targets = LINK.findall(without_code(document.read_text()))
    for target in targets:
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = document.parent / path if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_architecture_names_modules_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    blocks = re.findall(r"^ {4}daemon/(probed/\S*)\n((?: {8}.*\n)+)", text, re.MULTILINE)
    assert [folder for folder, _ in blocks] == ["probed/exporter/", "probed/", "probed/evidence/", "probed/tail/"]
    for folder, block in blocks:
        for name in re.findall(r"^ {8}([^ ,]+(?:, [^ ,]+)*)", block, re.MULTILINE):
            for path in (ROOT / "daemon" / folder / part for part in name.split(", ")):
                assert path.is_dir() or path.with_suffix(".py").is_file(), path


def test_the_list_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^- \[(\d{4})\]\((\S+)\): (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    pages = sorted(folder.glob("[0-9]*.md"))
    titles = [page.read_text().splitlines()[0].partition(": ")[2] for page in pages]
    assert listed == [(page.name[:4], page.name, title) for page, title in zip(pages, titles, strict=True)]
    for page in pages:
        assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == ["Context", "Decision", "Consequences"]
