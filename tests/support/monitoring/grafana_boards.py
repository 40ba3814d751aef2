# SPDX-License-Identifier: Apache-2.0
"""Variables and queries of a dashboard, as Grafana sends queries to Prometheus. Draws nothing.

Source: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from support.monitoring.prometheus_server import Prometheus

DASHBOARDS: Final = Path(__file__).parents[3] / "deploy" / "grafana" / "dashboards"

Board = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Period:
    """The period of the time picker in seconds since the epoch, and the derived widths."""

    start: float
    end: float
    step: float = 1
    rate_interval: int = 8

    def variables(self) -> dict[str, str]:
        """Return Grafana's own variables."""
        return {"__range": f"{round(self.end - self.start)}s", "__rate_interval": f"{self.rate_interval}s"}


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: labels, and values by time."""

    labels: Mapping[str, str]
    values: Mapping[float, float]


def boards() -> list[Board]:
    """Return the checked-in dashboards."""
    return [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]


def panels(board: Board) -> Iterator[Board]:
    """Yield the panels of a dashboard without the headings between them."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def choices(board: Board, server: Prometheus) -> dict[str, list[str]]:
    """Return the choices of each variable, queried in order with all earlier ones chosen, as Grafana does."""
    offered = dict[str, list[str]]()
    for variable in _queried(board):
        selector, label = _label_values(variable["query"])
        asked = urlencode({"match[]": fill(selector, everything(board, offered))})
        offered[variable["name"]] = server.ask(f"label/{label}/values?{asked}")
    return offered


def everything(board: Board, offered: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the text of each variable when All is chosen."""
    variables = (variable for variable in _queried(board) if variable["name"] in offered)
    return {one["name"]: one.get("allValue") or several(offered[one["name"]]) for one in variables}


def several(values: list[str]) -> str:
    """Return chosen values as Grafana's regular expression within a string of PromQL."""
    escaped = [re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values of variables into a query. Raises KeyError for an unknown variable."""
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], text)


def answer(target: Board, values: Mapping[str, str], period: Period, server: Prometheus) -> list[Series]:
    """Send the query of a panel: over the period, or at its end for an instant query."""
    expression = fill(target["expr"], {**values, **period.variables()})
    if target["instant"]:
        samples = server.query(expression, time=f"{period.end}")
        return [Series(sample.labels, {period.end: sample.value}) for sample in samples]
    found = server.query_range(expression, period.start, period.end, period.step)
    return [Series(labels, {float(at): float(text) for at, text in pairs}) for labels, pairs in found]


def _queried(board: Board) -> Iterator[Board]:
    return (variable for variable in board["templating"]["list"] if variable["type"] == "query")


def _label_values(query: str) -> tuple[str, str]:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found, f"no label_values(): {query}"
    return found[1], found[2]
