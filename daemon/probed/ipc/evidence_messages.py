# SPDX-License-Identifier: Apache-2.0
"""Evidence of storms: the rules, and the messages of the three processes that take evidence. Pure.

The exporter sends WantEvidence to the supervisor. The supervisor starts a sampler, sends TakeEvidence, and gets
EvidenceTaken or EvidenceFailed. EvidenceReport tells the exporter the sums for its pages, without any argument.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal, get_args

from probed.frozen import frozen
from probed.ipc.manifest import LoaderChoice

RuleName = Literal["starts", "failed_opens"]
RULES: Final[tuple[RuleName, ...]] = get_args(RuleName)

METRIC_OF: Final[Mapping[RuleName, str]] = {
    "starts": "probed_process_forks_total",
    "failed_opens": "probed_open_failures_total",
}
"""The metric whose events a rule counts by unit."""

TRACE_OF: Final[Mapping[RuleName, str]] = {"starts": "execs", "failed_opens": "opens"}
"""The trace probe that takes the sample of a rule."""

SuppressionReason = Literal["busy", "unit", "units"]
SUPPRESSION_REASONS: Final[tuple[SuppressionReason, ...]] = get_args(SuppressionReason)
"""`busy`: another sample is being taken; `unit`: the unit had one; `units`: enough units had one."""

MOST_PATH: Final = 4096
"""Most characters of a cgroup's path in a message."""


@frozen
class EvidenceSettings:
    """Settings of the site: `rules` has the events a second, by unit, above which evidence is wanted.

    A sample has at most `rows` rows. In `interval` seconds each unit gives one sample, and `units` units do so.
    `redact` has regular expressions of secrets, in addition to the defaults unless these are off.
    """

    rules: Mapping[RuleName, float]
    rows: int
    interval: float
    units: int
    redact: tuple[str, ...]
    redact_defaults: bool


@frozen
class WantEvidence:
    """Asks for evidence of a storm in a cgroup. `path` is the cgroup's, from the hierarchy's root."""

    rule: RuleName
    cgroup: int
    path: str


@frozen
class TakeEvidence:
    """Makes a sampler take a sample; files and `loader` are those of the daemon's command line."""

    wanted: WantEvidence
    settings: EvidenceSettings
    config_file: str
    btf: str
    loader: LoaderChoice | None
    log_level: str
    log_format: str


@frozen
class EvidenceTaken:
    """Tells the unit of the cgroup, and how many rows the log has."""

    unit: str
    rows: int


@frozen
class EvidenceFailed:
    """Explains why there is no sample."""

    text: str


@frozen
class LatestEvidence:
    """The latest sample; `time` in seconds since the epoch."""

    unit: str
    rule: RuleName
    rows: int
    time: float


@frozen
class EvidenceReport:
    """Sums since the supervisor's start; `suppressed` has every reason."""

    samples: int = 0
    rows: int = 0
    failures: int = 0
    suppressed: Mapping[SuppressionReason, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(SUPPRESSION_REASONS, 0)
    )
    latest: LatestEvidence | None = None


ToSampler = TakeEvidence
FromSampler = EvidenceTaken | EvidenceFailed
FROM_SAMPLER: Final[tuple[type[FromSampler], ...]] = get_args(FromSampler)


def is_plausible(wanted: WantEvidence) -> bool:
    """Say whether a request can name a cgroup: a positive id, and an absolute path without steps upwards."""
    names = wanted.path.split("/")
    return (
        0 < wanted.cgroup < 1 << 63
        and wanted.path.startswith("/")
        and len(wanted.path) <= MOST_PATH
        and "\0" not in wanted.path
        and not {".", ".."} & set(names)
    )
