# SPDX-License-Identifier: Apache-2.0
"""Rules of several documents: one line of text, ranges of numbers, entries of lists and mappings, names given twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any, Final

from probed.schema.structure import Rule


def one_line(text: str) -> str:
    """Check for one line of text without blanks around it. Raises ValueError."""
    if not text.strip():
        raise ValueError("expected one line of text, found an empty one")
    if len(text.splitlines()) > 1 or text != text.strip():
        raise ValueError("expected one line of text, without line breaks or blanks around it; write it on one line")
    return text


def _not_empty(value: Collection[Any]) -> Collection[Any]:
    if not value:
        raise ValueError("expected at least one entry, found none")
    return value


def between(least: float, most: float, noun: str) -> Rule:
    """Return the rule of a number from `least` to `most`; `noun` names its unit in the error."""

    def check(number: float) -> float:
        if not least <= number <= most:
            raise ValueError(f"expected {least:g} to {most:g} {noun}, found {number:g}")
        return number

    return Rule(check, {"minimum": least, "maximum": most})


def repeated(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield index and name of each name that has come before."""
    seen = set[str]()
    for index, name in enumerate(names):
        if name in seen:
            yield index, name
        seen.add(name)


NOT_EMPTY_LIST: Final = Rule(_not_empty, {"minItems": 1})
NOT_EMPTY_MAPPING: Final = Rule(_not_empty, {"minProperties": 1})

Line = Annotated[str, Rule(one_line, {"minLength": 1, "pattern": "^\\S(.*\\S)?$"})]
