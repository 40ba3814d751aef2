# SPDX-License-Identifier: Apache-2.0
"""Shortens the durations in the shipped files of Prometheus and Alertmanager, so that minutes pass in seconds.

Every duration is divided by `FACTOR`, so 15 minutes of 'for' are one minute, and 15 s between two scrapes are 1 s:
values under a key of `DURATIONS`, and in expressions the ranges and offsets. Names, thresholds, labels, texts and
routes are as shipped. Rates are by the second and stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

FACTOR: Final = 15

DURATIONS: Final = frozenset(
    (
        *("scrape_interval", "scrape_timeout", "evaluation_interval", "interval", "for"),
        *("group_wait", "group_interval", "repeat_interval"),
    )
)

MILLISECONDS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
"""Source: https://prometheus.io/docs/prometheus/latest/querying/basics/#time-durations"""

_DURATION: Final = "([0-9]+)([smhdw])"
_IN_EXPRESSION: Final = re.compile(rf"(\[|\boffset ){_DURATION}\b")


def shortened(file: Path) -> Any:
    """Return the content of a YAML file with shortened durations."""
    return _shortened(yaml.safe_load(file.read_text()))


def _shortened(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _shortened(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if key in DURATIONS:
        found = re.fullmatch(_DURATION, value)
        assert found, f"{key}: expected a duration of one unit, found '{value}'"
        return _duration(*found.groups())
    return _IN_EXPRESSION.sub(lambda found: found[1] + _duration(found[2], found[3]), value)


def _duration(count: str, unit: str) -> str:
    return f"{int(count) * MILLISECONDS[unit] // FACTOR}ms"
