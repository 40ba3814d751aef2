# SPDX-License-Identifier: Apache-2.0
"""Measures the prose of Python files: the frequency of hard words in docstrings and comments.

python -m support.prose PATH... prints the figures, then every docstring whose first line is too long.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMITS = {
    "what": (1.0, ("what", "whatever")),
    "who": (0.5, ("who", "whom", "whose", "whoever")),
    "nobody": (
        0.5,
        ("nobody", "somebody", "anybody", "everybody", "someone", "anyone", "everyone"),
    ),
    "it": (40.0, ("it", "its", "itself", "that", "those", "them", "they", "their", "themselves", "this", "these")),
}
"""By the first counted word: most occurrences in 1,000 words, and all counted words."""
FIRST_LINE_WORDS = 20
"""Most words in the first line of a docstring."""
_WORD = re.compile(r"[a-z][a-z']*")
_CODE = re.compile(r"`[^`]*`")


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and text of every docstring of a Python file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def comments(path: Path) -> Iterator[str]:
    """Yield every comment of a Python file but its licence."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT and "SPDX-License-Identifier" not in token.string:
            yield token.string.lstrip("#")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case without code between back-quotes."""
    return _WORD.findall(_CODE.sub("", text.lower()))


def python_files(paths: Iterable[Path]) -> list[Path]:
    """Return the Python files at and below some paths, sorted."""
    return sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))


def frequencies(files: Iterable[Path]) -> dict[str, float]:
    """Return occurrences in 1,000 words of docstrings and comments, by the keys of LIMITS.

    A text of fewer words counts as 1,000, or one word would decide.
    """
    found: Counter[str] = Counter()
    for file in files:
        for text in (*(text for _, text in docstrings(file)), *comments(file)):
            found.update(words(text))
    total = max(found.total(), 1000)
    return {name: 1000 * sum(found[word] for word in counted) / total for name, (_, counted) in LIMITS.items()}


def long_first_lines(files: Iterable[Path]) -> list[str]:
    """Return file and line of every docstring whose first line has more than FIRST_LINE_WORDS words."""
    return [
        f"{file}:{line}"
        for file in files
        for line, text in docstrings(file)
        if len(text.splitlines()[0].split()) > FIRST_LINE_WORDS
    ]


if __name__ == "__main__":
    files = python_files(Path(argument) for argument in sys.argv[1:])
    for name, frequency in frequencies(files).items():
        print(f"{name:8}{frequency:6.1f} of at most {LIMITS[name][0]} in 1,000 words")
    print(*long_first_lines(files), sep="\n")
