# SPDX-License-Identifier: Apache-2.0
"""The report of `probed doctor`, as data and as text. Pure.

Names of keys and checks are an interface: scripts read the JSON, with the schema config/schema/doctor.schema.json.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from probed.frozen import frozen

Status = Literal["ok", "warning", "failure"]

WIDTH: Final = 120
_INDENT: Final = " " * 9


@frozen
class Check:
    """One fact about the machine."""

    name: Annotated[str, "The name of the check, which keeps its meaning."]
    status: Annotated[Status, "A warning: something is limited, or could not be checked."]
    value: Annotated[str, "The finding, for people."]
    remedy: Annotated[str, "The remedy; empty for none."]


@frozen
class Attachment:
    """One program of a probe."""

    program: Annotated[str, "The program's name in the C."]
    attach: Annotated[str, "The attach point, as in the metric probed_program_info."]
    status: Annotated[Status, "Whether this kernel has the attach point."]


@frozen
class ProbeCheck:
    """One probe that the site configuration names."""

    name: Annotated[str, "The probe's name."]
    status: Annotated[Status, "Whether the probe loads, or could load as far as known without privilege."]
    tried: Annotated[bool, "Whether the probe was loaded and attached for a moment, which needs privilege."]
    reason: Annotated[str, "The reason of a failure, as in probed_probe_load_failures_total; else empty."]
    text: Annotated[str, "Fact, cause and remedy of a failure; else empty."]
    programs: Annotated[tuple[Attachment, ...], "The programs."]


@frozen
class Report:
    """The report."""

    version: Annotated[str, "The version of probed."]
    status: Annotated[Status, "The worst status."]
    checks: Annotated[tuple[Check, ...], "The machine."]
    probes: Annotated[tuple[ProbeCheck, ...], "The probes."]


def worst(statuses: list[Status]) -> Status:
    """Return the worst status."""
    order: list[Status] = ["failure", "warning", "ok"]
    return next((status for status in order if status in statuses), "ok")


def render(report: Report) -> str:
    """Format the report in lines of at most `WIDTH` columns; a longer word has a line of its own."""
    lines = [line for check in report.checks for line in _check(check)]
    lines += [line for probe in report.probes for line in _probe(probe)]
    every = [*(each.status for each in report.checks), *(each.status for each in report.probes)]
    return "\n".join([*lines, f"probed {report.version}: {_summary(every)}"])


def _summary(every: list[Status]) -> str:
    failures, warnings = every.count("failure"), every.count("warning")
    said = [
        f"{count} {name}{'s' * (count > 1)}" for count, name in ((failures, "failure"), (warnings, "warning")) if count
    ]
    return " and ".join(said) or "all is well"


def _check(check: Check) -> Iterator[str]:
    yield from _wrapped(f"{_mark(check.status)}{check.name}: {check.value}")
    for line in check.remedy.splitlines():
        yield from _wrapped(f"{_INDENT}-> {line}")


def _probe(probe: ProbeCheck) -> Iterator[str]:
    shown = ", ".join(map(_attachment, probe.programs))
    yield from _wrapped(f"{_mark(probe.status)}probe {probe.name}: {_fate(probe)}; {shown}")
    for line in probe.text.splitlines():
        yield from _wrapped(f"{_INDENT}-> {line}")


def _fate(probe: ProbeCheck) -> str:
    if probe.reason:
        return f"does not load ({probe.reason})"
    return "loads" if probe.tried else "not tried"


def _attachment(of: Attachment) -> str:
    where = of.attach.rpartition(":")[2]
    return f"{of.program} at {where}" + ("" if of.status == "ok" else " (missing)")


def _mark(status: Status) -> str:
    return f"{status if status == 'ok' else status.upper():<{len(_INDENT)}}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="", subsequent_indent=f"{_INDENT}   ", break_long_words=False,
        break_on_hyphens=False, drop_whitespace=True,
    )  # fmt: skip
