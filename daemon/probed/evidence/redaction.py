# SPDX-License-Identifier: Apache-2.0
r"""Hides secrets in arguments and paths before they are logged. Pure.

An expression searches the whole argument list as one text, with a NUL between two arguments, because a secret may be
the argument after its option. The mask replaces the group ``secret``, or the whole match without such a group. Most
defaults hide all from the beginning of the secret to the end of the argument.

Other users choose the text. So each repetition in a default is bounded or ends at a separator, and the text is cut
before the search. Sources of the formats: documentation of AWS, GitHub, GitLab and Slack on their keys; RFC 3986, 6750,
7468 and 7519; curl(1), mysql(1), redis-cli(1), sshpass(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"

MOST_SEARCHED: Final = 8192
"""Characters of a text that are searched."""

MOST_SHOWN: Final = MOST_SEARCHED - 512
"""Characters that remain of a longer text: a default finds a secret within the 512 before the end of the search."""

_NAME: Final = (
    r"[\w.-]{0,64}?(?:pass|pwd|secret|token|credential|cookie|authorization|(?:api|access|auth|private)[_-]?key)"
    r"[\w.-]{0,64}"
)
"""A word that names a secret."""

DEFAULTS: Final = (
    # --password x, --password=x, -passin x
    rf"(?i)(?<![^\0\s'\"(])--?{_NAME}(?:=|[\0\s]+)(?P<secret>[^\0]+)",
    # TOKEN=x, "password": "x", <password>x, Authorization: Bearer x, X-Api-Key: x
    rf"(?i)(?<![\w.-]){_NAME}['\"]?\s{{0,8}}[=:>]\s{{0,8}}(?P<secret>[^\0]+)",
    r"(?i)(?<!\w)bearer\s{1,8}(?P<secret>[^\0]+)",
    r"(?<![\w.-])(?:mysql|mariadb|sshpass)[\w-]{0,16}[\0\s](?:[^\0\s]{0,512}[\0\s]){0,20}?-p[\0\s]?(?P<secret>[^\0]+)",
    r"(?<![\w.-])redis-cli[\0\s](?:[^\0\s]{0,512}[\0\s]){0,20}?-a[\0\s]?(?P<secret>[^\0]+)",
    # curl -u user:password
    r"(?<![^\0\s])(?:-u|--user|--proxy-user)[=\0\s]?[^\0\s:]{1,128}:(?P<secret>[^\0]+)",
    # scheme://user:password@host, scheme://token@host
    r"://[^\0\s/@:]{0,128}:(?P<secret>[^\0\s]{1,256})@",
    r"://(?P<secret>[^\0\s/@:]{16,256})@",
    r"-----BEGIN [A-Z0-9 ]{1,64}-----(?P<secret>[^\0]+)",
    # keys with a form of their own: AWS, GitHub, GitLab, Slack and others, JSON Web Tokens
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|sk[-_]|rk_|AIza|npm_|pypi-|hf_)[\w-]{16,}",
    r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?",
)


class Redactor:
    """Expressions in the order of their use: the defaults, then those of the site."""

    def __init__(self, expressions: Iterable[str]) -> None:
        self._expressions = [re.compile(each) for each in expressions]

    def redact(self, text: str) -> tuple[str, bool]:
        """Return a text with its secrets masked, and whether the text was cut."""
        is_cut = len(text) > MOST_SEARCHED
        text = text[:MOST_SEARCHED]
        for expression in self._expressions:
            text = expression.sub(_masked, text)
        return (text[:MOST_SHOWN], True) if is_cut else (text, False)


def _masked(found: re.Match[str]) -> str:
    if found.re.groupindex.get("secret") is None or found["secret"] is None:
        return MASK
    whole, start = found[0], found.start()
    return whole[: found.start("secret") - start] + MASK + whole[found.end("secret") - start :]
