# SPDX-License-Identifier: Apache-2.0
"""Messages between supervisor and exporter, one dataclass per kind. Pure.

The supervisor sends Start, the NameContainers so far, an AddProbe per running probe, perhaps Status, and Serve; then
further AddProbe, RemoveProbe, Status, NewWebSettings, NameContainers, EvidenceReport and ReloadEnded in any order; at
last Stop. The exporter sends Confined before it serves, or CannotServe before it exits with an error; then Pulse now
and then, WantEvidence in a storm, RequestReload when a client asks for a reload, and Stopped after Stop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal, get_args

from probed.frozen import frozen
from probed.ipc.evidence_messages import EvidenceReport, RuleName, WantEvidence
from probed.ipc.manifest import LoadedProbe, LoaderName
from probed.linux.privilege import User
from probed.webconfig.options import WebOptions


@frozen
class Start:
    """The first message to the exporter; `version` counts the changes of all messages.

    The exporter becomes `user`, and without one stays the supervisor's. It sends a Pulse every `pulse_seconds`. The
    daemon's counters count from `start_time`, counters of the supervisor from `supervisor_start`, both in seconds since
    the epoch. `evidence` has the events a second of a unit, by rule, above which the exporter asks for evidence. Fds:
    the supervisor's /proc/self/statm, the WebSettings in sealed memory where `web` names a configuration file, the
    listening sockets.
    """

    version: int
    web: WebOptions
    user: User | None
    log_level: str
    log_format: str
    pulse_seconds: float
    start_time: float = 0.0
    supervisor_start: float = 0.0
    evidence: Mapping[RuleName, float] = dataclasses.field(default_factory=dict)


@frozen
class AddProbe:
    """Adds a probe, or replaces the older version. Fds: see `probe.fd_names`."""

    probe: LoadedProbe


@frozen
class RemoveProbe:
    """Removes a probe and all series of the probe."""

    name: str


@frozen
class ProbeStatus:
    """State of one probe: `reason` and `text` are empty while the probe is up, `loader` while it is down.

    `failures` counts failed loads by reason since the supervisor started; every reason is present.
    """

    name: str
    description: str
    up: bool
    reason: str
    text: str
    failures: Mapping[str, int]
    loader: LoaderName | Literal[""] = ""


@frozen
class WebStatus:
    """Result of the last reading of the web configuration, and time of the last successful reading."""

    successful: bool
    success_time: float


@frozen
class Status:
    """State of the daemon as a whole; times in seconds since the epoch.

    `bcc_version` is empty until a loader has run.
    """

    probes: tuple[ProbeStatus, ...]
    bcc_version: str
    reload_successful: bool
    reload_success_time: float
    exporter_restarts: int
    web: WebStatus | None = None


@frozen
class Serve:
    """Permits the first page: the exporter now knows every running probe."""


@frozen
class NewWebSettings:
    """Replaces the web settings. Fd: the WebSettings in sealed memory."""


@frozen
class NameContainers:
    """Has names of containers by id, and the ids of removed containers."""

    names: Mapping[str, str]
    removed: tuple[str, ...]


@frozen
class ReloadEnded:
    """Answers RequestReload; `fault` is empty after a reload without a fault."""

    fault: str


@frozen
class Stop:
    """Makes the exporter drain once more, answer with Stopped, and exit."""


@frozen
class Pulse:
    """Sign of life: the exporter's drain loop and HTTP server move.

    `informed`: the exporter has a Status, so a scrape is true; `series` counts the series on the page,
    `lost` the lost events, both of all probes; `left_out` the probes that the exporter cannot serve.
    """

    informed: bool
    series: int
    lost: int
    left_out: int = 0


@frozen
class RequestReload:
    """Asks the supervisor to reload; ReloadEnded answers."""


@frozen
class Confined:
    """Tells that the exporter has given up its rights: it serves next, and no CannotServe follows."""


@frozen
class CannotServe:
    """Explains why the exporter exits before it serves."""

    text: str


@frozen
class Stopped:
    """Answers Stop; `totals` are the sums of events as text for the log."""

    totals: str


ToExporter = (
    Start
    | AddProbe
    | RemoveProbe
    | Status
    | Serve
    | NewWebSettings
    | NameContainers
    | EvidenceReport
    | ReloadEnded
    | Stop
)
FromExporter = Confined | Pulse | WantEvidence | RequestReload | CannotServe | Stopped

TO_EXPORTER: Final[tuple[type[ToExporter], ...]] = get_args(ToExporter)
FROM_EXPORTER: Final[tuple[type[FromExporter], ...]] = get_args(FromExporter)
