# SPDX-License-Identifier: Apache-2.0
"""Names that are near a mistyped one, for the last part of an error's text.

Every check of declarations, site configuration and host calls it. It decides nothing. Processes that stay are seldom
told anything wrong, so difflib is imported only then.
"""

from __future__ import annotations

from collections.abc import Iterable


def near(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Find the known names that look like `word`, nearest first, at most `most`."""
    from difflib import get_close_matches

    return get_close_matches(word, sorted(set(known)), n=most, cutoff=0.6)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Make the question that ends an error, or an empty text where no known name is near."""
    best = near(word, known, 1)
    return f"; did you mean '{best[0]}'?" if best else ""
