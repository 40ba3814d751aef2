# SPDX-License-Identifier: Apache-2.0
"""The common frame of all dashboards: variables, links to each other and the runbook, alerts as annotations.

`build` adds the panels row by row, and numbers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from boards import promql
from boards.panels import OWNER, Column, Panel, link_of, listing

TAG = "probed"
RUNBOOK = "http://localhost:9090/consoles/probed-runbook.md"
"""Prometheus's copy of deploy/runbook.md, as seen from the same machine; README.md explains how to change the URL."""

STORM_ALERTS = ("ProcessStorm", "ShortLivedProcessStorm", "ForkFailures", "CrashLoop", "ExecFailures")
OPEN_ALERTS = ("FileDescriptorsExhausted", "OpenFailureStorm")
CALL_ALERTS = ("SyscallStorm",)
MEMORY_ALERTS = ("OomKills",)
QUOTA_ALERTS = ("CpuThrottling",)
OWN_ALERTS = (
    "ProbedDown", "ProbeDown", "ProbedEventsLost", "ProbedMissedRuns", "ProbedEventsUnaccounted",
    "ProbedNotesLost", "ProbedRingNearlyFull", "ProbedSeriesOverflow", "ProbedReloadFailed",
)  # fmt: skip
ALERTS = (*STORM_ALERTS, *OPEN_ALERTS, *CALL_ALERTS, *MEMORY_ALERTS, *QUOTA_ALERTS, *OWN_ALERTS)

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")


def alerts(names: Sequence[str], state: str = "firing") -> str:
    """Return a selector of these alerts for the chosen instances, units and pods, or without these labels."""
    chosen = 'instance=~"$instance|", unit=~"$unit|", namespace=~"$namespace|", pod=~"$pod|"'
    return f'ALERTS{{alertname=~"{"|".join(names)}", alertstate=~"{state}", {chosen}}}'


def firing(names: Sequence[str]) -> str:
    """Return a query for the number of these alerts that fire; 0 if Prometheus has no rules."""
    return f"count({alerts(names)}) or vector(0)"


def since(names: Sequence[str], span: int) -> Panel:
    """Return a table of these alerts: name, owner, parent, program, state, and the start of the condition."""
    # The value of ALERTS_FOR_STATE is the start of the condition. ALERTS_FOR_STATE has no label alertstate.
    began = f'ALERTS_FOR_STATE{{alertname=~"{"|".join(names)}"}}'
    held = alerts(names, "pending|firing")
    return (
        listing(
            "Alerts, since when",
            "Start of each alert's condition, pending alerts included. A storm of one container after another has a "
            "parent and no unit. Empty without alerts, or if Prometheus lacks the rules of deploy/prometheus.",
            {"alertname": "Alert", **OWNER, "parent": "Parent", "comm": "Program", "alertstate": "State"},
            [
                Column(
                    "Since",
                    f"1000 * min by ({_ALERT_LABELS}) ({held} * ignoring (alertstate) group_left () {began})",
                    _AGO,
                )
            ],
        )
        .span(span)
        .override_by_name("Alert", [link_of("Runbook", RUNBOOK)])
    )


_AGO = "dateTimeFromNow"
_ALERT_LABELS = f"alertname, {promql.OWNER}, parent, comm, alertstate"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading. The grid has 24 columns; narrow panels share a line."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """The content of one dashboard; `alerts` are the alerts of its topic."""

    uid: str
    title: str
    text: str
    alerts: Sequence[str]
    rows: Sequence[Row]


def build(board: Board, others: Sequence[Board]) -> model.Dashboard:
    """Return the dashboard with links to the others; the first row's panels are at the top."""
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
    """Set id and data source of every panel; links to single panels need stable ids."""
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
        _choice("unit", _values("unit")).label("Unit").all_value(".*"),
        _choice("namespace", _values("namespace")).label("Namespace").all_value(".*"),
        _choice("pod", _values("pod")).label("Pod").all_value(".*"),
    ]


def _values(label: str) -> str:
    """Return the query for the values of a label; on hosts without pods a label of pods has none."""
    metrics = '__name__=~"probed_process_forks_total|probed_open_failures_total"'
    return f'label_values({{{metrics}, job=~"$job", instance=~"$instance"}}, {label})'


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    """Return a variable with all values of the time range. Several may be chosen; the default is all."""
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
        .tooltip(f"Remedies for {', '.join(names)}")
        .url(RUNBOOK)
        .target_blank(True)
    )


class PrometheusAnnotation(model.AnnotationQuery):
    """An annotation query with the fields of Grafana's Prometheus data source, which the SDK's type lacks.

    Source: grafana.com/docs/grafana/latest/datasources/prometheus/annotations.
    """

    def to_json(self) -> dict[str, object]:
        """Return the fields of the SDK's type and the texts of a mark."""
        return super().to_json() | {
            "titleFormat": "{{alertname}}",
            "textFormat": f"{{{{instance}}}} {promql.OWNER_LEGEND} {{{{parent}}}} {{{{comm}}}}",
        }


class _Annotation(dashboard.AnnotationQuery):
    def __init__(self) -> None:
        self._internal = PrometheusAnnotation()


def _annotations(names: Sequence[str]) -> list[Builder[model.AnnotationQuery]]:
    """Return the marks on every graph for the periods in which alerts fired.

    Orange marks are alerts about probed itself: the figures may be too low.
    """
    marks: list[Builder[model.AnnotationQuery]] = [_annotation("probed's own alerts", OWN_ALERTS, "orange")]
    return marks if names == OWN_ALERTS else [_annotation("Alerts", names, "red"), *marks]


def _annotation(name: str, names: Sequence[str], colour: str) -> dashboard.AnnotationQuery:
    return _Annotation().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(alerts(names))
