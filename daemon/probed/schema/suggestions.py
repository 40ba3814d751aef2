# SPDX-License-Identifier: Apache-2.0
"""Suggests known names for a mistyped one, at the end of an error.

difflib is imported at the first error, because the supervisor and the exporter seldom see one.
"""

from __future__ import annotations

from collections.abc import Iterable


def near(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return at most `most` known names that resemble `word`, the nearest first."""
    from difflib import get_close_matches

    return get_close_matches(word, sorted(set(known)), n=most, cutoff=0.6)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question at the end of an error, "" where no known name is near."""
    best = near(word, known, 1)
    return f"; did you mean '{best[0]}'?" if best else ""
