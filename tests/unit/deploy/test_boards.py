# SPDX-License-Identifier: Apache-2.0
"""Grafana's dashboards: current files, Grafana's types, complete panels, links between dashboards."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from boards.__main__ import files
from boards.frame import ALERTS, RUNBOOK

GRAFANA: Final = Path(__file__).parents[3] / "deploy" / "grafana"
FILES: Final = sorted((GRAFANA / "dashboards").glob("*.json"))

OF_GRAFANA: Final = {"__rate_interval", "__range"}
"""Variables of Grafana. Source: grafana.com/docs/grafana/latest/datasources/prometheus."""

COLUMNS: Final = 24

Board = dict[str, Any]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> Board:
    """Return each committed dashboard."""
    loaded: Board = json.loads(request.param.read_text())
    return loaded


def panels(board: Board) -> list[Board]:
    """Return the panels without the headings between them."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def cells(panel: Board) -> set[tuple[int, int]]:
    """Return the grid cells of a panel."""
    place = panel["gridPos"]
    across = range(place["x"], place["x"] + place["w"])
    return set(itertools.product(across, range(place["y"], place["y"] + place["h"])))


def test_the_committed_files_are_current() -> None:
    made = dict(files())
    assert {path.name for path in FILES} == set(made), "files and dashboards differ: remove, or run `make dashboards`"
    for path in FILES:
        assert path.read_text() == made[path.name], f"{path.name} is stale: run `make dashboards`"


def test_a_dashboard_is_of_the_types_of_grafana(board: Board) -> None:
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    for annotation in board["annotations"]["list"]:
        # The Prometheus data source adds these to the type of the SDK.
        del annotation["titleFormat"], annotation["textFormat"]
    assert again == board


def test_every_panel_has_title_description_and_unit(board: Board) -> None:
    for panel in panels(board):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["expr"] for target in panel["targets"]), panel["title"]


def test_titles_and_ids_are_unique(board: Board) -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in board["panels"]]
        assert len(values) == len(set(values)), f"{key}: {values}"


def test_panels_fill_the_width_and_cover_no_other(board: Board) -> None:
    covered: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert not covered & cells(panel), panel["title"]
        covered |= cells(panel)
    height = 1 + max(y for _, y in covered)
    assert covered == set(itertools.product(range(COLUMNS), range(height)))


def test_queries_use_only_defined_variables(board: Board) -> None:
    known = {variable["name"] for variable in board["templating"]["list"]} | OF_GRAFANA
    text = json.dumps([panel["targets"] for panel in panels(board)] + board["annotations"]["list"])
    assert set(re.findall(r"\$(\w+)", text)) <= known


def test_every_dashboard_links_to_all_others_and_the_runbook(board: Board) -> None:
    others = {f"/d/{path.stem}" for path in FILES} - {f"/d/{board['uid']}"}
    assert {link["url"] for link in board["links"]} == others | {RUNBOOK}


def test_a_file_has_the_name_of_its_dashboard(board: Board) -> None:
    assert f"{board['uid']}.json" in {path.name for path in FILES}


def test_every_alert_is_marked_on_a_dashboard() -> None:
    marked = {
        name
        for path in FILES
        for annotation in json.loads(path.read_text())["annotations"]["list"]
        for name in re.findall(r"[A-Z]\w+(?=[|\"])", annotation["expr"].partition("alertname=~")[2].partition(",")[0])
    }
    assert marked == set(ALERTS)


def test_the_alerts_are_those_of_the_rules() -> None:
    files_of_rules = (GRAFANA.parent / "prometheus" / "rules").glob("*.yml")
    groups = [group for path in files_of_rules for group in yaml.safe_load(path.read_text())["groups"]]
    assert {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule} == set(ALERTS)


def test_provisioning_names_a_data_source_and_a_folder_of_dashboards() -> None:
    folder = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "probed.yaml").read_text())["providers"]
    assert source["type"] == "prometheus"
    assert provider["type"] == "file"
    assert provider["options"]["path"] in (GRAFANA / "README.md").read_text()
