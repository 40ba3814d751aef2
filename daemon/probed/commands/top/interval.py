# SPDX-License-Identifier: Apache-2.0
"""The option --interval: the time between two requests. Pure."""

from __future__ import annotations

import re
from typing import Final

SHORTEST: Final = 0.1
"""Seconds. Each page has the exporter drain all rings."""
LONGEST: Final = 3600.0

_INTERVAL: Final = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)(ms|s|m)?", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}


def parse_interval(text: str) -> float:
    """Return the seconds of ``500ms``, ``2s``, ``1m`` or ``0.5``. Raises ValueError with the expected form."""
    found = _INTERVAL.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a time such as 500ms or 2s, found '{text}'")
    seconds = float(found[1]) * _SECONDS[found[2] or ""]
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"expected a time from 100ms to 60m, found '{text}'")
    return seconds
