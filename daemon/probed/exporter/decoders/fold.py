# SPDX-License-Identifier: Apache-2.0
"""Fold rules applied: label text replaced, or its series dropped, before anything is counted. Pure.

`decoders` wraps a decoder in its rules, so they run once for each new label set. The rules come checked and in final
order from the manifest; `config.folding.fold_rules` defines them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from probed.ipc.manifest import ResolvedFoldRule

Decoder = Callable[[int | bytes], str | None]
"""From a field's value to label text; None: the event is dropped."""


def folded(decode: Decoder, rules: Sequence[ResolvedFoldRule]) -> Decoder:
    """Return a decoder that applies the first rule with a match: of the whole text, or of a part."""
    if not rules:
        return decode
    compiled = [(re.compile(rule.match), rule.replace, rule.parts) for rule in rules]

    def fold(value: int | bytes) -> str | None:
        name = decode(value)
        if name is None:
            return None
        for pattern, replace, parts in compiled:
            if parts:
                text, count = pattern.subn(replace or "", name)
                if count:
                    return text
            elif found := pattern.fullmatch(name):
                return found.expand(replace) if replace and "\\" in replace else replace
        return name

    return fold
