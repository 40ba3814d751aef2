# SPDX-License-Identifier: Apache-2.0
"""Rules, limits, and expressions of secrets. Pure."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final

from probed.config.folding.fold_rules import Regex
from probed.frozen import frozen
from probed.ipc.evidence_messages import EvidenceSettings
from probed.schema.rules import between
from probed.schema.structure import Rule

LEAST_INTERVAL: Final = 10.0
MOST_INTERVAL: Final = 86_400.0
MOST_ROWS: Final = 1000
MOST_UNITS: Final = 100
MOST_EXPRESSIONS: Final = 100


def _rate(number: float) -> float:
    if number < 1:
        raise ValueError(f"expected at least 1 event a second, found {number:g}; 'evidence: off' turns evidence off")
    return number


def _expressions(found: tuple[str, ...]) -> tuple[str, ...]:
    if len(found) > MOST_EXPRESSIONS:
        raise ValueError(f"expected at most {MOST_EXPRESSIONS} expressions, found {len(found)}")
    return found


Rate = Annotated[float, Rule(_rate, {"minimum": 1})]


@frozen
class EvidenceRules:
    """Events a second of one unit above which the daemon takes evidence."""

    starts: Annotated[Rate, "Started processes; the default is the alert's."] = 100.0
    failed_opens: Annotated[Rate, "Failed calls of open; the default is the alert's."] = 1000.0


@frozen
class EvidenceOptions:
    """Evidence: a sample of single events of a unit, in the log, when a storm begins."""

    rules: Annotated[EvidenceRules, "Events a second of one unit above which the daemon takes evidence."] = (
        dataclasses.field(default_factory=EvidenceRules)
    )
    rows: Annotated[int, "Most rows of a sample.", between(1, MOST_ROWS, "rows")] = 50
    interval: Annotated[
        float,
        "Seconds in which one unit gives at most one sample.",
        between(LEAST_INTERVAL, MOST_INTERVAL, "seconds"),
    ] = 600.0
    units: Annotated[int, "Most units with a sample in this time.", between(1, MOST_UNITS, "units")] = 5
    redact: Annotated[
        tuple[Regex, ...],
        "Regular expressions (Python's) of secrets to hide: the group 'secret', or the match without such a group.",
        Rule(_expressions, {"maxItems": MOST_EXPRESSIONS}),
    ] = ()
    redact_defaults: Annotated[
        bool, "Whether to hide also what looks like passwords, tokens, keys and credentials in URLs."
    ] = True

    def settings(self) -> EvidenceSettings:
        """Return the settings for the supervisor."""
        rules = self.rules
        return EvidenceSettings(
            {"starts": rules.starts, "failed_opens": rules.failed_opens}, self.rows, self.interval, self.units,
            self.redact, self.redact_defaults,
        )  # fmt: skip
