# SPDX-License-Identifier: Apache-2.0
"""Measures the prose of documents with the limits of `support.prose`: Markdown, man pages, dashboards, YAML, C.

python -m support.document_prose FILE... prints the figures of each file and of all.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from support.prose import LIMITS, words

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n)+")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\]\([^)]*\)")
_EXAMPLE = re.compile(r"^\.EX$.*?^\.EE$", re.MULTILINE | re.DOTALL)
_FONT = re.compile(r"\\f[A-Z]|\\\(..|\\")
_C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_YAML_COMMENT = re.compile(r"(?:^|\s)#(.*)")
_YAML_TEXT = re.compile(
    r"^\s*(?:- )?(?:help|description|summary): *(?:[>|]-?\n((?:\s+.*\n?)+?(?=\s*\w+:|\Z))|(.*))", re.M
)


def markdown_files(root: Path) -> list[Path]:
    """Return the Markdown documents of the project."""
    folders = ("deploy", "docs", "packaging", "probes", "tests")
    return sorted((*root.glob("*.md"), *(path for folder in folders for path in (root / folder).rglob("*.md"))))


def without_code(text: str) -> str:
    """Return a Markdown document without code blocks and comments."""
    for pattern in (_FENCED, _COMMENT, _INDENTED):
        text = pattern.sub("\n", text)
    return text


def markdown(text: str) -> str:
    """Return the prose of a Markdown document, without code blocks, comments and addresses of links."""
    return _LINK.sub("]", without_code(text))


def manual(text: str) -> str:
    """Return the prose of a man page, without examples, macros and words in bold or italics."""
    lines = _EXAMPLE.sub("", text).splitlines()
    return "\n".join(_FONT.sub("", line) for line in lines if not line.startswith((".", "'")))


def dashboard(text: str) -> str:
    """Return the titles and descriptions of a Grafana dashboard."""
    return "\n".join(_texts(json.loads(text)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key in ("title", "description") and isinstance(member, str):
                yield member
            else:
                yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def yaml(text: str) -> str:
    """Return the comments of a YAML file, and the texts of the keys help, description and summary."""
    texts = [one or other for one, other in _YAML_TEXT.findall(text)]
    return "\n".join((*_YAML_COMMENT.findall(text), *texts))


def c(text: str) -> str:
    """Return the comments of a C file."""
    return "\n".join(_C_COMMENT.findall(text))


PROSE_OF = {
    ".md": markdown,
    ".5": manual,
    ".8": manual,
    ".json": dashboard,
    ".yaml": yaml,
    ".yml": yaml,
    ".c": c,
    ".h": c,
}
"""The function that finds the prose, by the end of a file's name."""


def counted(files: Iterable[Path]) -> Counter[str]:
    """Return how often each word stands in the prose of some files."""
    found: Counter[str] = Counter()
    for file in files:
        found.update(words(PROSE_OF[file.suffix](file.read_text())))
    return found


def frequencies(files: Iterable[Path]) -> dict[str, float]:
    """Return occurrences in 1,000 words of the files' prose, by the keys of LIMITS."""
    found = counted(files)
    total = max(found.total(), 1)
    return {name: 1000 * sum(found[word] for word in hard) / total for name, (_, hard) in LIMITS.items()}


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    print(*(f"{name:>7}" for name in LIMITS), "  words")
    for group in (*([path] for path in paths), paths):
        figures = (f"{frequency:7.1f}" for frequency in frequencies(group).values())
        print(*figures, f"{counted(group).total():7}", group[0] if len(group) == 1 else "all")
