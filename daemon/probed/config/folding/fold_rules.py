# SPDX-License-Identifier: Apache-2.0
"""Fold rules in declarations and site configurations: they merge or drop label texts before events are counted.

`fold_defaults` has the rules that apply unless a site turns them off. The exporter's decoder `fold` applies the rules.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Annotated, Final

from probed.frozen import frozen
from probed.schema.structure import Fault, Rule

MAX_LENGTH: Final = 256
"""Limit of a regular expression's length in characters."""


def _regex(text: str) -> str:
    """Check a regular expression. Raises ValueError with the error of Python's re and the remedy."""
    if not 0 < len(text) <= MAX_LENGTH:
        raise ValueError(f"expected a regular expression of 1 to {MAX_LENGTH} characters, found {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"not a regular expression: {error}; see the documentation of Python's re") from error
    if group := _ambiguous_group(text):
        raise ValueError(
            f"'{group}' repeats a group that can match one text in several ways; any user chooses names, and some "
            "would take for ever; leave no '*', '+', '?', '{m,n}' or '|' in a group that repeats"
        )
    return text


_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\??|\{\d+\}|.", re.DOTALL)
"""One piece of a regular expression; a class, the start of a group and an exact count are one piece each."""

_REPEATS: Final = re.compile(r"[*+]|\{\d+\}|\{\d*,\d*\}")


def _ambiguous_group(regex: str) -> str:
    """Find a repeated group that can match one text in several ways, as in (a+)*; return "" for none.

    Where the whole text does not match, such a group may take time exponential in the text's length.
    """
    around: list[tuple[int, bool]] = []
    ambiguous = False
    for token in _TOKEN.finditer(regex):
        if token[0].startswith("("):
            around.append((token.start(), ambiguous))
            ambiguous = False
        elif token[0] == ")":
            start, outside = around.pop()
            repeats = _REPEATS.match(regex, token.end())
            if ambiguous and repeats:
                return regex[start : repeats.end()]
            ambiguous |= outside
        elif token[0] in ("*", "+", "?", "{", "|"):
            ambiguous = True
    return ""


def _replacement(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected text that prints, on one line")
    if re.fullmatch(r"(?:[^\\]|\\[1-9](?![0-9])|\\g<\w+>|\\\\)*", text) is None:
        raise ValueError(r"a backslash here is '\1' to '\9' or '\g<name>' for a group of 'match', or '\\' for itself")
    return text


Regex = Annotated[str, Rule(_regex, {"format": "regex", "minLength": 1, "maxLength": MAX_LENGTH})]
Replacement = Annotated[str, Rule(_replacement)]


@frozen
class FoldRule:
    """A rule for the texts that a regular expression matches."""

    match: Annotated[
        Regex, "A regular expression (Python's) that matches the whole text; with 'parts', each match in it."
    ]
    replace: Annotated[Replacement | None, "The new text; '\\1' is the match of the first group."] = None
    drop: Annotated[bool, "true: events with this text are not counted."] = False
    parts: Annotated[bool, "true: each part that matches is replaced, and the rest of the text stays."] = False

    def check(self) -> Iterator[Fault]:
        """Yield a rule with both or neither of `replace` and `drop`, and unknown groups in `replace`."""
        if self.drop == (self.replace is not None):
            yield (), "a rule needs one of 'replace: TEXT' and 'drop: true'"
        elif self.drop and self.parts:
            yield ("parts",), "'drop: true' leaves no text with other parts; remove one of both"
        if self.replace is not None:
            try:
                re.compile(self.match).sub(self.replace, "")
            except (re.error, IndexError) as error:
                yield ("replace",), f"{error}; 'match' has {re.compile(self.match).groups} groups"


FoldRules = tuple[FoldRule, ...]
