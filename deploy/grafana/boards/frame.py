# SPDX-License-Identifier: Apache-2.0
"""What all dashboards have in common: variables, links to one another and to the runbook, the alerts as annotations.

`board` puts panels into it, row by row, and numbers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from boards.panels import Column, Panel, link_of, listing

TAG = "probed"
RUNBOOK = "http://localhost:9090/consoles/probed-runbook.md"
"""Where Prometheus serves a copy of deploy/runbook.md, seen from its own machine; README.md says how to change it."""

STORM_ALERTS = ("ProcessStorm", "ShortLivedProcessStorm", "CrashLoop", "ExecFailures")
OPEN_ALERTS = ("FileDescriptorsExhausted", "OpenFailureStorm")
CALL_ALERTS = ("SyscallStorm",)
OWN_ALERTS = (
    "ProbedDown", "ProbeDown", "ProbedEventsLost", "ProbedMissedRuns", "ProbedEventsUnaccounted",
    "ProbedRingNearlyFull", "ProbedSeriesOverflow", "ProbedReloadFailed",
)  # fmt: skip
ALERTS = (*STORM_ALERTS, *OPEN_ALERTS, *CALL_ALERTS, *OWN_ALERTS)

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")


def alerts(names: Sequence[str], state: str = "firing") -> str:
    """Return what selects these alerts of what is chosen; one that names no instance or unit belongs to all of them."""
    chosen = 'instance=~"$instance|", unit=~"$unit|"'
    return f'ALERTS{{alertname=~"{"|".join(names)}", alertstate=~"{state}", {chosen}}}'


def firing(names: Sequence[str]) -> str:
    """Return how many of these alerts fire; 0 also where Prometheus has no rules."""
    return f"count({alerts(names)}) or vector(0)"


def since(names: Sequence[str], span: int) -> Panel:
    """Return the table of these alerts: which, about whom, and since when its condition holds."""
    # The value of ALERTS_FOR_STATE is when that began; it has no alertstate, which ALERTS has.
    began = f'ALERTS_FOR_STATE{{alertname=~"{"|".join(names)}"}}'
    held = alerts(names, "pending|firing")
    return (
        listing(
            "Alerts, since when",
            "Since when the condition of each alert holds, pending ones included. Empty where all is calm, or where "
            "Prometheus does not have the rules of deploy/prometheus.",
            {"alertname": "Alert", "unit": "Unit", "comm": "Program", "alertstate": "State"},
            [Column("Since", f"1000 * min by ({_WHOSE}) ({held} * ignoring (alertstate) group_left () {began})", _AGO)],
        )
        .span(span)
        .override_by_name("Alert", [link_of("Runbook", RUNBOOK)])
    )


_AGO = "dateTimeFromNow"
_WHOSE = "alertname, unit, comm, alertstate"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading. Where all are narrow they stand side by side, 24 columns wide."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """What is particular to one dashboard: `alerts` are those that it explains."""

    uid: str
    title: str
    text: str
    alerts: Sequence[str]
    rows: Sequence[Row]


def build(board: Board, others: Sequence[Board]) -> model.Dashboard:
    """Return the dashboard with the first row's panels at the top, and links to the others."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.text)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(_variables())
        .links([*(_link(other) for other in others), _runbook(board.alerts)])
        .annotations(_annotations(board.alerts))
    )
    for row in board.rows:
        if row.title:
            made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(panel)
    return _numbered(made.build())


def _numbered(made: model.Dashboard) -> model.Dashboard:
    """Give every panel an id, which links to single panels need to stay the same, and the data source."""
    for number, panel in enumerate(made.panels or [], 1):
        panel.id_val = number
        if isinstance(panel, model.Panel):
            panel.datasource = SOURCE
    return made


def _variables() -> list[Builder[model.VariableModel]]:
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _choice("job", "label_values(probed_build_info, job)").hide(model.VariableHide.HIDE_VARIABLE),
        _choice("instance", 'label_values(probed_build_info{job=~"$job"}, instance)').label("Instance").all_value(".*"),
        _choice("unit", _UNITS).label("Unit").all_value(".*"),
    ]


_UNITS = (
    'label_values({__name__=~"probed_process_forks_total|probed_open_failures_total",'
    ' job=~"$job", instance=~"$instance"}, unit)'
)


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    """Return a variable with all values that the period shown has, of which one or more are chosen; at first all."""
    return (
        dashboard.QueryVariable(name)
        .query(query)
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _link(other: Board) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(other.title)
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(other.text)
        .url(f"/d/{other.uid}")
        .include_vars(True)
        .keep_time(True)
    )


def _runbook(names: Sequence[str]) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Runbook")
        .type(model.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip(f"What to do about {', '.join(names)}")
        .url(RUNBOOK)
        .target_blank(True)
    )


class PrometheusAnnotation(model.AnnotationQuery):
    """An annotation query with what Grafana's Prometheus data source adds, and the SDK's type leaves to data sources.

    Source: grafana.com/docs/grafana/latest/datasources/prometheus/annotations.
    """

    def to_json(self) -> dict[str, object]:
        """Return what the SDK's type gives, and the texts that a mark shows."""
        return super().to_json() | {"titleFormat": "{{alertname}}", "textFormat": "{{instance}} {{unit}} {{comm}}"}


class _Annotation(dashboard.AnnotationQuery):
    def __init__(self) -> None:
        self._internal = PrometheusAnnotation()


def _annotations(names: Sequence[str]) -> list[Builder[model.AnnotationQuery]]:
    """Return the marks from where to where alerts fired, on every graph.

    Orange ones are about probed itself: figures may be short there.
    """
    marks: list[Builder[model.AnnotationQuery]] = [_annotation("probed's own alerts", OWN_ALERTS, "orange")]
    return marks if names == OWN_ALERTS else [_annotation("Alerts", names, "red"), *marks]


def _annotation(name: str, names: Sequence[str], colour: str) -> dashboard.AnnotationQuery:
    return _Annotation().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(alerts(names))
